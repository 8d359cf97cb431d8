"""The pages of an explanation run: score by depth (Fig. 7b of [MK]), tables, and every unit with its windows.

Tokens and explanations travel as JSON and are set with ``textContent`` only, so nothing in them can run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eval.explanation.drafts import level_string
from eval.explanation.results import Explained, LayerMean, UnitResult
from eval.explanation.rules.bits import WHOLE_TABLE
from eval.explanation.scoring.scorers import SCORES
from eval.report.figures import COLOURS, SavedFigure, drawing, figure, interval_line, save_figure
from eval.report.page import ASSETS, Page, Section
from eval.result_json import noted
from eval.results import Result, result
from eval.runs import Run

__all__ = [
    "UnitEntry",
    "add_chapter",
    "add_units",
    "depth_figure",
    "depth_figures",
    "level_string",
    "unit_entry",
    "write_page",
]


@drawing
def depth_figure(run: Run, rows: Sequence[LayerMean], name: str = "score_by_depth", title: str = "") -> SavedFigure:
    """Score by depth, one line per kind of unit with intervals; controls dashed in the colour of their kind."""
    fig, axis = figure(width=7.2, height=3.6)
    kinds = list(dict.fromkeys(row.kind.split(" (")[0] for row in rows))
    labels = list(dict.fromkeys(row.kind for row in rows))
    for place, kind in enumerate(labels):
        base, _, condition = kind.partition(" (")
        mine = [row for row in rows if row.kind == kind]
        style = {"": "-", "shuffled)": ":", "untrained)": "--"}[condition]
        offset = (place / max(1, len(labels) - 1) - 0.5) * 0.16
        interval_line(
            axis,
            [row.layer + offset for row in mine],
            [row.mean for row in mine],
            label=kind,
            colour=COLOURS[kinds.index(base) % len(COLOURS)],
            linestyle=style,
            alpha=1.0 if not condition else 0.75,
        )
    axis.axhline(0, color="#888888", linewidth=0.8)
    axis.set_xticks(sorted({row.layer for row in rows}))
    axis.set_xlabel("layer")
    axis.set_ylabel("correlation, shared random windows")
    axis.set_title(title)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = (
        "Explanation score by depth (Marshall & Kirchner, Fig. 7b). Mean over units, bars 95% bootstrap intervals over "
        "units. Dotted: the unit's activations shuffled across windows. Dashed: the same readout, untrained model."
    )
    return save_figure(run, fig, name, caption)


def depth_figures(run: Run, found: Explained) -> dict[str, SavedFigure]:
    """Score by depth as scored, then at each length of the ladder (the whole table last)."""
    out = {"score_by_depth": depth_figure(run, found.by_layer)}
    for name in dict.fromkeys(row.length for row in found.by_length):
        rows = [row.by_layer for row in found.by_length if row.length == name]
        key = f"score_by_depth_{name.replace(' ', '_')}"
        out[key] = depth_figure(run, rows, key, f"explained in {name}" if name != WHOLE_TABLE else "the whole table")
    return out


def _add_lengths(section: Section, found: Explained) -> None:
    """Score against description length, and other explainers at the same budget; nothing where none was asked for."""
    if found.by_length:
        section.table(
            _rows(found.by_length),
            caption="Mean correlation by description length. The whole token table, which nobody reads, is an upper "
            "bound for token lists.",
        )
        section.table(_rows(found.paired_by_length), caption="Differences of kinds at equal length, as below.")
        section.table(_rows(found.claims_by_length), caption="Statements of the source, judged at each length.")
    if found.rivals:
        section.table(
            _rows(found.rivals),
            caption="Score minus that of another explainer at the same budget, paired by unit; p from flipped signs, "
            "Holm over layers.",
        )


def add_chapter(page: Page, found: Explained, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter of an explanation run, for its own page and for the report of the whole suite."""
    section = page.section("Can anyone say in words what a direction does?", "explain")
    section.text(found.setting)
    for saved in figures.values():
        section.figure(saved)
    leak = found.leakage
    audit = (
        f"Leakage audit: {leak['shared_documents']} shared documents, {leak['near_duplicates']} near-duplicate windows "
        f"and {leak['near_duplicate_documents']} near-duplicate documents between the explain set "
        f"({leak['explain_windows']} windows) and the score set ({leak['score_windows']})."
    )
    clean = leak["shared_documents"] == leak["near_duplicates"] == leak["near_duplicate_documents"] == 0
    (section.text if clean else section.warning)(audit)
    if found.missing_predictions:
        section.warning(
            f"{found.missing_predictions} predictions are missing for want of a reply that could be read; coverage "
            "says which share is there."
        )
    section.table(
        _rows(found.by_layer),
        caption="Mean correlation on the shared random windows, 95% interval over units. "
        "An explanation that predicts a constant counts as 0. bits: mean description length; upper_bound: the whole "
        "token table.",
    )
    _add_lengths(section, found)
    if found.decisions:
        section.table(
            _rows(found.decisions),
            caption="Comparisons that were watched until they were decided: intervals hold at every look, all together "
            "at 95%, for the recorded units and the documents of this run.",
        )
    section.table(
        _rows(found.paired),
        caption="Differences of kinds by layer; interval over units and documents; p permuted, Holm over layers.",
    )
    if found.paired_by_task:
        section.table(
            _rows(found.paired_by_task),
            caption="Differences of the other scorers' AUROC; interval over units; p permuted, Holm over layers and "
            "scorers.",
        )
    section.table(
        _rows(found.null), caption="Score minus that of other units' explanations (shuffled-explanation null)."
    )
    for name, rows in found.baselines.items():
        section.table(_rows(rows), caption=f"Score minus the baseline {name} on the same windows.")
    if found.claims:
        section.table([claim.to_json() for claim in found.claims], caption="Statements of the source.")
    if found.undefined:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in found.undefined.items())
        section.warning("Undefined scores: " + reasons)
    if found.notes:
        section.table(
            [{"fault survived": note, "windows": count} for note, count in found.notes.items()],
            caption="Faults of the simulator, counted.",
        )


def _rows(rows: Iterable[Result]) -> list[dict[str, Any]]:
    return [row.to_json() for row in rows]


@result
class UnitEntry(Result):
    """One unit as the page's script wants it: words, scores, and windows as level strings."""

    name: str
    kind: str
    score: float | None
    reason: str | None
    words: str = noted(key="text")
    scale: float
    sign: int
    null: str
    scores: tuple[tuple[str, str, str], ...]
    histogram: tuple[int, ...]
    windows: tuple[tuple[str, int, str, str], ...]


def unit_entry(unit: UnitResult) -> UnitEntry:
    """A unit's entry on the page."""
    scores = [(mix, name, str(found[name])) for mix, found in unit.scores.items() for name in SCORES]
    scores += [
        (f"{mix}, {baseline}", name, str(found[name]))
        for baseline, by_mix in unit.baselines.items()
        for mix, found in by_mix.items()
        for name in SCORES
    ]
    scores += [
        (task, name, str(found[name])) for task, found in unit.tasks.items() for name in ("balanced_accuracy", "auroc")
    ]
    return UnitEntry(
        name=unit.unit.name,
        kind=unit.label,
        score=None if unit.primary.value is None else round(unit.primary.value, 4),
        reason=unit.primary.reason,
        words=unit.explanation.text or f"no explanation: {unit.explanation.reason}",
        scale=unit.scale,
        sign=unit.sign,
        null=str(unit.null),
        scores=tuple(scores),
        histogram=unit.histogram,
        windows=tuple((window.mix, window.window, window.truth, window.predicted) for window in unit.shown),
    )


def add_units(page: Page, results: Sequence[UnitResult]) -> Section:
    """Every unit, rendered when it is opened: explanation, scores, histogram, windows shaded true over predicted."""
    section = page.section("Every unit", "units")
    section.text(
        "Tokens are shaded by the true activation (upper line) and by the predicted one (lower line), 0 to 10 of the "
        "unit's largest activation on the explain documents. Top windows and shared random windows are marked as such."
    )
    strings = {window.window: window.tokens for unit in results for window in unit.shown}
    entries = [unit_entry(unit).to_json() for unit in results]
    page.embed("explained-units", {"units": entries, "windows": strings})
    section.markup(Markup('<div id="explained-units-controls"></div><div id="explained-units-list"></div>'))
    page.script((ASSETS / "explained_units.js").read_text(encoding="utf-8"))
    page.style((ASSETS / "explained_units.css").read_text(encoding="utf-8"))
    return section


def write_page(
    run: Run,
    found: Explained,
    units: Sequence[UnitResult],
    figures: Mapping[str, SavedFigure],
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """The run's own page, ``report.html``."""
    page = Page("Explain, simulate, score", found.setting)
    add_chapter(page, found, figures)
    add_units(page, units)
    return page.write(run, provenance=provenance)
