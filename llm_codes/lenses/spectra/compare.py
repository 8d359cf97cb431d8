"""Two models or checkpoints on one corpus, side by side: alpha by relative depth, and differences with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.errors import UserError
from eval.measures.statistics.resampling import holm
from eval.report.figures import COLOURS, SavedFigure, figure, interval_line, save_figure
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from eval.scores import Score

if TYPE_CHECKING:
    from llm_codes.configs.compare import CompareConfig

NORMAL_95 = 1.959963984540054


def read_run(folder: str | Path) -> dict[str, Any]:
    """The results of a run that holds spectra. Raises `UserError` for a folder without them."""
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise UserError(f"expected a finished run with results.json in {folder}, found none; run `spectra` there first")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); run `spectra` there again with --overwrite") from error
    if not results.get("sites"):
        raise UserError(f"{path} holds no spectra (no key `sites`); expected a run of `spectra` or `report`")
    return results


def check_same_corpus(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Refuse to compare numbers measured on different texts."""
    keys = ("source", "split", "sha256")
    texts = [{key: run["provenance"].get("corpus", {}).get(key) for key in keys} for run in (a, b)]
    changed = [f"{key} {texts[0][key]!r} and {texts[1][key]!r}" for key in keys if texts[0][key] != texts[1][key]]
    if changed:
        raise UserError(f"expected two runs on one corpus, got {'; '.join(changed)}; run `spectra` on the same text")


def alpha_of(site: Mapping[str, Any]) -> Score:
    """The corrected exponent of a results row, as a `Score`."""
    if site.get("alpha_corrected") is None:
        return Score.undefined(site.get("alpha_corrected_reason") or "not measured")
    low, high = site.get("alpha_ci") or (None, None)
    return Score(site["alpha_corrected"], low, high, site.get("n_documents"))


def difference(a: Score, b: Score) -> tuple[Score, float | None]:
    """b - a with a 95% interval and a two-sided p, the two errors taken as independent.

    Both runs read the same documents, so their errors are positively correlated where they are correlated at all: the
    interval errs on the wide side.
    """
    if a.value is None or b.value is None:
        return Score.undefined("; ".join(filter(None, (a.reason, b.reason)))), None
    if a.interval is None or b.interval is None:
        return Score(b.value - a.value, interval_reason="an interval is missing on one side"), None
    halves = [(score.interval[1] - score.interval[0]) / 2 for score in (a, b) if score.interval]
    half = math.hypot(*halves)
    value = b.value - a.value
    p = math.erfc(abs(value) / (half / NORMAL_95) / math.sqrt(2)) if half > 0 else float(value == 0)
    return Score(value, value - half, value + half), p


def relative_depth(site: Mapping[str, Any], n_layers: int) -> float:
    """0 at the first block, 1 at the last."""
    return site["layer"] / max(1, n_layers - 1)


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows: each site of `a` with the site of `b` at the nearest relative depth, alpha of both, the difference.

    `p_holm` is corrected over all rows (Holm).
    """
    check_same_corpus(a, b)
    layers = [run["provenance"]["model"]["n_layers"] for run in (a, b)]
    rows, p_values = [], []
    for site in a["sites"]:
        depth = relative_depth(site, layers[0])
        partners = [other for other in b["sites"] if other["kind"] == site["kind"]]
        if not partners:
            continue
        partner = min(partners, key=lambda other: abs(relative_depth(other, layers[1]) - depth))
        score, p = difference(alpha_of(site), alpha_of(partner))
        row = {"kind": site["kind"], "layer_a": site["layer"], "layer_b": partner["layer"], "depth": depth}
        row |= {"alpha_a": site["alpha_corrected"], "alpha_b": partner["alpha_corrected"], **score.fields("difference")}
        rows.append(row | {"p": p})
        p_values.append(p)
    if not rows:
        raise UserError("the two runs have no kind of site in common; measure the same --sites in both")
    defined = [number for number, p in enumerate(p_values) if p is not None]
    if defined:
        import numpy as np

        adjusted = holm(np.array([p_values[number] for number in defined], dtype=float))
        for number, p in zip(defined, adjusted, strict=True):
            rows[number]["p_holm"] = float(p)
    return rows


def draw(run: Run, runs: Sequence[Mapping[str, Any]]) -> SavedFigure:
    """Alpha by relative depth of both runs, one panel per kind of site."""
    kinds = list(dict.fromkeys(site["kind"] for site in runs[0]["sites"]))
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for results, colour, letter in zip(runs, COLOURS, "AB", strict=False):
            sites = [site for site in results["sites"] if site["kind"] == kind]
            model = results["provenance"]["model"]
            depths = [relative_depth(site, model["n_layers"]) for site in sites]
            label = f"{letter}: {model['name']}{' (untrained)' if model['untrained'] else ''}"
            interval_line(axis, depths, [alpha_of(site) for site in sites], label=label, colour=colour)
        axis.axhline(-1, color="#555555", linewidth=0.8, linestyle="--")
        axis.set(title=kind, xlabel="relative depth", ylabel="alpha (corrected)")
        axis.legend()
    return save_figure(run, fig, "alpha-compared", "Corrected exponent by relative depth with 95% intervals.")


def command(config: CompareConfig, run: Run) -> str:
    """`python -m llm_codes compare RUN_A RUN_B`."""
    a, b = read_run(config.run_a), read_run(config.run_b)
    rows = compare(a, b)
    names = [results["provenance"]["model"]["name"] for results in (a, b)]
    saved = draw(run, (a, b))
    run.write_text("tables/compare.csv", csv_text(rows))
    page = Page(f"{names[0]} against {names[1]}", "alpha by depth on one corpus; differences are B - A")
    page.section("Alpha by depth").figure(saved).table(rows)
    page.write(run)
    run.finish({"comparison": rows}, runs={"a": a["provenance"], "b": b["provenance"]})
    return text_table(
        rows, ["kind", "layer_a", "layer_b", "alpha_a", "alpha_b", "difference", "difference_ci", "p_holm"]
    )
