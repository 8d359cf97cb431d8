"""Two models or checkpoints on one corpus, side by side: alpha by relative depth, and differences with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.errors import UserError
from eval.measures.statistics.resampling import holm
from eval.report.figures import COLOURS, SavedFigure, drawing, figure, interval_line, save_figure
from eval.report.page import Page
from eval.runs import Run
from eval.scores import Score
from llm_codes.lenses.spectra.rows import ComparedSite, Comparison, SiteSpectrum

if TYPE_CHECKING:
    from llm_codes.configs.compare import CompareConfig

NORMAL_95 = 1.959963984540054
SAME_TEXT = ("source", "split", "sha256")
SAME_MEASUREMENT = {
    "fit range": ("fit_first", "fit_last"),
    "window length": ("context",),
    "excluded positions": ("exclude_positions",),
    "number of tokens": ("tokens",),
}


@dataclass(frozen=True)
class SpectraRun:
    """A finished run that holds spectra, and where its numbers come from."""

    sites: tuple[SiteSpectrum, ...]
    provenance: Mapping[str, Any]

    @property
    def n_layers(self) -> int:
        return int(self.provenance["model"]["n_layers"])

    @property
    def label(self) -> str:
        model = self.provenance["model"]
        return f"{model['name']}{' (untrained)' if model['untrained'] and 'untrained' not in model['name'] else ''}"


def read_run(folder: str | Path) -> SpectraRun:
    """The results of a run that holds spectra. Raises `UserError` for a folder without them."""
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise UserError(f"expected a finished run with results.json in {folder}, found none; run `spectra` there first")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(map(SiteSpectrum.from_json, results.get("sites") or ()))
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is not valid ({error}); run `spectra` there again with --overwrite") from error
    if not rows:
        raise UserError(f"{path} holds no spectra (no key `sites`); expected a run of `spectra` or `report`")
    return SpectraRun(rows, results["provenance"])


def check_comparable(a: SpectraRun, b: SpectraRun) -> None:
    """Refuse, by name, to compare numbers measured on different texts or in different ways."""
    texts = [run.provenance.get("corpus", {}) for run in (a, b)]
    changed = [
        f"{k} {texts[0].get(k)!r} and {texts[1].get(k)!r}" for k in SAME_TEXT if texts[0].get(k) != texts[1].get(k)
    ]
    if changed:
        raise UserError(f"expected two runs on one corpus, got {'; '.join(changed)}; run `spectra` on the same text")
    configs = [run.provenance.get("config", {}) for run in (a, b)]
    for name, keys in SAME_MEASUREMENT.items():
        values = [tuple(config.get(key) for key in keys) for config in configs]
        if values[0] != values[1]:
            shown = ["-".join(map(str, value)) for value in values]
            raise UserError(f"expected two runs of one {name}, got {shown[0]} and {shown[1]}; run `spectra` alike")


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


def relative_depth(site: SiteSpectrum, n_layers: int) -> float:
    """0 at the first block, 1 at the last."""
    return site.layer / max(1, n_layers - 1)


def compare(a: SpectraRun, b: SpectraRun) -> Comparison:
    """Each site of `a` with the site of `b` at the nearest relative depth, alpha of both, the difference.

    `p_holm` is corrected over all rows (Holm).

    Raises:
        UserError: other texts or another measurement (named), or no kind of site in common.
    """
    check_comparable(a, b)
    rows: list[ComparedSite] = []
    for site in a.sites:
        depth = relative_depth(site, a.n_layers)
        partners = [other for other in b.sites if other.kind == site.kind]
        if not partners:
            continue
        partner = min(partners, key=lambda other: abs(relative_depth(other, b.n_layers) - depth))
        score, p = difference(site.alpha_corrected, partner.alpha_corrected)
        alphas = (site.alpha_corrected.value, partner.alpha_corrected.value)
        rows.append(ComparedSite(site.kind, site.layer, partner.layer, depth, *alphas, score, p))
    if not rows:
        raise UserError("the two runs have no kind of site in common; measure the same --sites in both")
    return Comparison(tuple(_corrected(rows)))


def _corrected(rows: Sequence[ComparedSite]) -> list[ComparedSite]:
    values = [row.p for row in rows if row.p is not None]
    adjusted = iter(holm(np.array(values, dtype=float)) if values else ())
    return [row if row.p is None else replace(row, p_holm=float(next(adjusted))) for row in rows]


@drawing
def draw(run: Run, runs: Sequence[SpectraRun]) -> SavedFigure:
    """Alpha by relative depth of both runs, one panel per kind of site."""
    kinds = list(dict.fromkeys(site.kind for site in runs[0].sites))
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for found, colour, letter in zip(runs, COLOURS, "AB", strict=False):
            sites = [site for site in found.sites if site.kind == kind]
            depths = [relative_depth(site, found.n_layers) for site in sites]
            scores = [site.alpha_corrected for site in sites]
            interval_line(axis, depths, scores, label=f"{letter}: {found.label}", colour=colour)
        axis.axhline(-1, color="#555555", linewidth=0.8, linestyle="--")
        axis.set(title=kind, xlabel="relative depth", ylabel="alpha (corrected)")
        axis.legend()
    return save_figure(run, fig, "alpha-compared", "Corrected exponent by relative depth with 95% intervals.")


def command(config: CompareConfig, run: Run) -> str:
    """`python -m llm_codes compare RUN_A RUN_B`."""
    a, b = read_run(config.run_a), read_run(config.run_b)
    compared = compare(a, b)
    names = [found.provenance["model"]["name"] for found in (a, b)]
    saved = draw(run, (a, b))
    run.write_text("tables/compare.csv", compared.to_csv())
    page = Page(f"{names[0]} against {names[1]}", "alpha by depth on one corpus; differences are B - A")
    page.section("Alpha by depth").figure(saved).table(compared.rows())
    page.write(run)
    run.finish(compared.to_json(), runs={"a": a.provenance, "b": b.provenance})
    return compared.text()
