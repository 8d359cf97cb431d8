"""The pages of an explanation run: score by depth (Fig. 7b of [MK]), tables, and every unit with its windows.

Tokens and explanations travel as JSON and are set with ``textContent`` only, so nothing in them can run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from eval.explanation.evaluate import UnitResult
from eval.explanation.records import LEVELS, Record
from eval.explanation.simulators import Simulation
from eval.explanation.statistics import label
from eval.explanation.tokens import visible
from eval.report.figures import COLOURS, SavedFigure, figure, interval_line, save_figure
from eval.report.page import ASSETS, Page, Section
from eval.runs import Run
from eval.scores import Score

SHOWN_WINDOWS = 4  # of each mix
_SCALE = "0123456789a"  # one character per level; "-" where there is no prediction


def score_of_row(row: Mapping[str, Any]) -> Score:
    """A row of ``by_layer`` back as a ``Score``."""
    if row["mean"] is None:
        return Score.undefined(row.get("reason") or "undefined")
    low, high = row["ci"] or (None, None)
    return Score(row["mean"], low, high, row["n"])


def depth_figure(
    run: Run, rows: Sequence[Mapping[str, Any]], name: str = "score_by_depth", title: str = ""
) -> SavedFigure:
    """Score by depth, one line per kind of unit with intervals; controls dashed in the colour of their kind."""
    fig, axis = figure(width=7.2, height=3.6)
    kinds = list(dict.fromkeys(str(row["kind"]).split(" (")[0] for row in rows))
    labels = list(dict.fromkeys(str(row["kind"]) for row in rows))
    for place, kind in enumerate(labels):
        base, _, condition = kind.partition(" (")
        mine = [row for row in rows if row["kind"] == kind]
        style = {"": "-", "shuffled)": ":", "untrained)": "--"}[condition]
        offset = (place / max(1, len(labels) - 1) - 0.5) * 0.16
        interval_line(
            axis,
            [row["layer"] + offset for row in mine],
            [score_of_row(row) for row in mine],
            label=kind,
            colour=COLOURS[kinds.index(base) % len(COLOURS)],
            linestyle=style,
            alpha=1.0 if not condition else 0.75,
        )
    axis.axhline(0, color="#888888", linewidth=0.8)
    axis.set_xticks(sorted({row["layer"] for row in rows}))
    axis.set_xlabel("layer")
    axis.set_ylabel("correlation, shared random windows")
    axis.set_title(title)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = (
        "Explanation score by depth (Marshall & Kirchner, Fig. 7b). Mean over units, bars 95% bootstrap intervals over "
        "units. Dotted: the unit's activations shuffled across windows. Dashed: the same readout, untrained model."
    )
    return save_figure(run, fig, name, caption)


def add_chapter(page: Page, results: Mapping[str, Any], figures: Mapping[str, SavedFigure]) -> None:
    """The chapter of an explanation run, for its own page and for the report of the whole suite."""
    section = page.section("Can anyone say in words what a direction does?", "explain")
    section.text(results["setting"])
    for saved in figures.values():
        section.figure(saved)
    leak = results["leakage"]
    audit = (
        f"Leakage audit: {leak['shared_documents']} shared documents, {leak['near_duplicates']} near-duplicate windows "
        f"between the explain set ({leak['explain_windows']} windows) and the score set ({leak['score_windows']})."
    )
    clean = leak["shared_documents"] == leak["near_duplicates"] == 0
    (section.text if clean else section.warning)(audit)
    section.table(
        results["by_layer"], caption="Mean correlation on the shared random windows, 95% interval over units."
    )
    section.table(
        results["paired"],
        caption="Differences of kinds by layer; interval over units and documents; p permuted, Holm over layers.",
    )
    section.table(results["null"], caption="Score minus that of other units' explanations (shuffled-explanation null).")
    for name, rows in results["baselines"].items():
        section.table(rows, caption=f"Score minus the baseline {name} on the same windows.")
    if results["claims"]:
        section.table(results["claims"], caption="Statements of the source.")
    undefined = results["undefined"]
    if undefined:
        section.warning("Undefined scores: " + "; ".join(f"{count} x {reason}" for reason, count in undefined.items()))
    if results["notes"]:
        section.table(
            [{"fault survived": note, "windows": count} for note, count in results["notes"].items()],
            caption="Faults of the simulator, counted.",
        )


def level_string(values: np.ndarray) -> str:
    """Levels 0..10 as one character each, ``-`` for NaN."""
    clipped = np.clip(np.nan_to_num(values), 0, LEVELS)
    return "".join("-" if np.isnan(v) else _SCALE[int(c)] for v, c in zip(values, clipped, strict=True))


def _window(mix: str, record: Record, simulation: Simulation, scale: float) -> list[Any]:
    truth = LEVELS * record.values / (scale if scale > 0 else 1.0)
    return [mix, record.window, level_string(truth + 1e-9), level_string(simulation.values)]


def unit_entry(result: UnitResult) -> dict[str, Any]:
    """One unit as the page's script wants it: words, scores, and windows as level strings."""
    chosen = {mix: [item for item in result.shown if item[0] == mix][:SHOWN_WINDOWS] for mix in ("top", "random")}
    scores = [[mix, name, str(score)] for mix, by_name in result.scores.items() for name, score in by_name.items()]
    scores += [
        [f"{mix}, {baseline}", name, str(score)]
        for baseline, by_mix in result.baselines.items()
        for mix, by_name in by_mix.items()
        for name, score in by_name.items()
    ]
    scores += [[task, name, str(score)] for task, by_name in result.tasks.items() for name, score in by_name.items()]
    values = result.truth[np.isfinite(result.truth)]
    counts = np.histogram(np.clip(values, 0, LEVELS), bins=np.arange(LEVELS + 2) - 1e-9)[0]
    return {
        "name": result.unit.name,
        "kind": label(result),
        "score": None if result.primary.value is None else round(result.primary.value, 4),
        "reason": result.primary.reason,
        "text": result.explanation.text or f"no explanation: {result.explanation.reason}",
        "scale": float(result.scale),
        "sign": result.sign,
        "null": str(result.null),
        "scores": scores,
        "histogram": counts.tolist(),
        "windows": [_window(mix, r, s, result.scale) for items in chosen.values() for mix, r, s in items],
    }


def add_units(page: Page, results: Sequence[UnitResult]) -> Section:
    """Every unit, rendered when it is opened: explanation, scores, histogram, windows shaded true over predicted."""
    section = page.section("Every unit", "units")
    section.text(
        "Tokens are shaded by the true activation (upper line) and by the predicted one (lower line), 0 to 10 of the "
        "unit's largest activation on the explain documents. Top windows and shared random windows are marked as such."
    )
    strings: dict[int, list[str]] = {}
    for result in results:
        for _, record, _ in result.shown:
            strings.setdefault(record.window, [visible(token) for token in record.strings])
    entries = [unit_entry(result) for result in results]
    needed = {window[1] for entry in entries for window in entry["windows"]}
    page.embed("explained-units", {"units": entries, "windows": {n: s for n, s in strings.items() if n in needed}})
    section.markup(Markup('<div id="explained-units-controls"></div><div id="explained-units-list"></div>'))
    page.script((ASSETS / "explained_units.js").read_text(encoding="utf-8"))
    page.style((ASSETS / "explained_units.css").read_text(encoding="utf-8"))
    return section


def write_page(
    run: Run, results: Mapping[str, Any], units: Sequence[UnitResult], figures: Mapping[str, SavedFigure]
) -> Path:
    """The run's own page, ``report.html``."""
    page = Page("Explain, simulate, score", results["setting"])
    add_chapter(page, results, figures)
    add_units(page, units)
    return page.write(run, provenance=results.get("provenance"))
