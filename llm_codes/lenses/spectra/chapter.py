"""Figures, claims and chapter of the eigenspectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.claims import Claim, claims_rows
from eval.report.figures import COLOURS, SavedFigure, figure, interval_line, save_figure
from eval.report.page import Page
from eval.runs import Run
from eval.scores import Score
from llm_codes.lenses.spectra.study import COLUMNS, Spectra

LARGE_SHARE = 0.5
FEW_TOKENS = 16


def alpha_score(row: Mapping[str, Any]) -> Score:
    """The corrected exponent of a row."""
    if row.get("alpha_corrected") is None:
        return Score.undefined(row.get("alpha_corrected_reason", "undefined"), row.get("n_documents"))
    low, high = row["alpha_ci"] or (None, None)
    return Score(row["alpha_corrected"], low, high, row["n_documents"])


def _of_kind(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def draw(run: Run, trained: Spectra, control: Spectra | None, index_range: tuple[int, int]) -> dict[str, SavedFigure]:
    """Alpha by depth with intervals and the control; log-log spectra with fits by depth."""
    return {
        "alpha": draw_alpha(run, trained, control),
        "spectra": draw_spectra(run, trained, index_range),
        "dimension": draw_dimension(run, trained, control),
    }


def draw_alpha(run: Run, trained: Spectra, control: Spectra | None) -> SavedFigure:
    kinds = list(dict.fromkeys(row["kind"] for row in trained.rows))
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), squeeze=False, sharey=True)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for found, label, colour in ((trained, "trained", COLOURS[0]), (control, "untrained", COLOURS[6])):
            if found is not None:
                rows = _of_kind(found.rows, kind)
                layers = [row["layer"] for row in rows]
                interval_line(axis, layers, [alpha_score(row) for row in rows], label=label, colour=colour)
        rows = [row for row in _of_kind(trained.rows, kind) if row.get("alpha") is not None]
        style = {"linewidth": 0.9, "linestyle": ":", "color": COLOURS[0]}
        axis.plot([row["layer"] for row in rows], [row["alpha"] for row in rows], label="trained, as measured", **style)
        axis.axhline(-1, color="#555555", linewidth=0.8, linestyle="--")
        axis.set(title=kind, xlabel="layer")
    axes[0, 0].set_ylabel("alpha")
    axes[0, -1].legend()
    caption = (
        "Power-law exponent of the eigenspectrum by depth, corrected for the number of tokens and documents, with 95% "
        "intervals over documents (bars). Dotted: as measured, without correction. Dashed: alpha = -1. Higher (closer "
        "to 0) is a flatter spectrum, a less redundant code."
    )
    return save_figure(run, fig, "alpha-by-depth", caption)


def draw_spectra(run: Run, trained: Spectra, index_range: tuple[int, int]) -> SavedFigure:
    from matplotlib import colormaps

    kinds = list(dict.fromkeys(row["kind"] for row in trained.rows))
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), height=3.6, squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        rows = _of_kind(trained.rows, kind)
        colours = colormaps["viridis"](np.linspace(0, 0.9, len(rows)))
        for row, colour in zip(rows, colours, strict=True):
            values = trained.eigenvalues[row["site"]]
            values = values[values > values[0] * 1e-9] / values.sum()
            axis.loglog(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.1, label=row["site"])
            if row.get("alpha") is not None:
                index = np.array(index_range, dtype=float)
                line = np.exp(row["intercept"]) * index ** row["alpha"] / trained.eigenvalues[row["site"]].sum()
                axis.loglog(index, line, color="black", linewidth=0.7, linestyle="--")
        axis.axvspan(*index_range, color="#000000", alpha=0.04)
        axis.set(title=kind, xlabel="index", ylabel="share of variance")
        step = max(1, len(rows) // 6)
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(handles[::step], labels[::step], loc="lower left")
    caption = "Eigenvalues by rank, as shares of the variance, with the Huber fit over the shaded indices (dashed)."
    return save_figure(run, fig, "spectra", caption)


def draw_dimension(run: Run, trained: Spectra, control: Spectra | None) -> SavedFigure:
    kinds = list(dict.fromkeys(row["kind"] for row in trained.rows))
    fig, (left, right) = figure(1, 2, width=8.4, height=2.8)
    for kind, colour in zip(kinds, COLOURS, strict=False):
        for found, style, label in ((trained, "o-", kind), (control, "s:", f"{kind}, untrained")):
            rows = _of_kind(found.rows, kind) if found else []
            for axis, key in ((left, "participation_ratio"), (right, "top_direction_share")):
                points = [(row["layer"], row[key]) for row in rows if row.get(key) is not None]
                if points:
                    axis.plot(*zip(*points, strict=True), style, color=colour, ms=3.5, lw=1.1, label=label)
    left.set(title="Participation ratio (bias-corrected)", xlabel="layer", yscale="log")
    right.set(title="Share of variance in the largest direction", xlabel="layer", ylim=(0, 1))
    left.legend()
    return save_figure(run, fig, "dimension", "How many directions the code uses, and how much one direction holds.")


def claims(trained: Spectra) -> list[Claim]:
    """[MK Fig. 7a]: alpha >= -1 at every depth (residual stream). Judged on the layer that contradicts it most."""
    kind = "resid_post" if _of_kind(trained.rows, "resid_post") else trained.rows[0]["kind"]
    rows = [row for row in _of_kind(trained.rows, kind) if row.get("alpha_corrected") is not None]
    statement = f"alpha >= -1 at every depth ({kind})"
    source = "MK section 2, Fig. 7a (GPT-2 XL)"
    if not rows:
        note = "no site has a defined exponent: " + str(trained.rows[0].get("alpha_corrected_reason"))
        return [Claim(statement, source, "every interval above -1", None, "cannot tell", note=note)]
    lowest = min(rows, key=lambda row: row["alpha_corrected"])
    low, high = lowest["alpha_ci"]
    below = [row for row in rows if row["alpha_ci"][1] < -1]
    above = [row for row in rows if row["alpha_ci"][0] >= -1]
    verdict = "fails" if below else "holds" if len(above) == len(rows) else "cannot tell"
    note = f"{len(above)} of {len(rows)} layers wholly above -1, {len(below)} wholly below; lowest at {lowest['site']}"
    measured = lowest["alpha_corrected"]
    return [Claim(statement, source, "alpha >= -1", measured, verdict, (low, high), n=len(rows), note=note)]


def warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know before trusting the numbers."""
    out = []
    undefined = [row for row in rows if row.get("alpha_corrected") is None]
    if undefined:
        reasons = "; ".join(dict.fromkeys(str(row.get("alpha_corrected_reason")) for row in undefined))
        out.append(f"alpha_corrected is undefined at {len(undefined)} of {len(rows)} sites: {reasons}")
    thin = [row for row in rows if row["n_tokens"] / row["width"] < FEW_TOKENS]
    if thin:
        worst = min(thin, key=lambda row: row["n_tokens"] / row["width"])
        ratio = worst["n_tokens"] / worst["width"]
        out.append(
            f"{len(thin)} sites have fewer than {FEW_TOKENS} tokens per component (least: {worst['site']}, "
            f"N/d = {ratio:.1f}): the exponent as measured is biased there; read the corrected one, or read more text."
        )
    large = [row for row in rows if (row.get("top_direction_share") or 0) > LARGE_SHARE]
    if large:
        worst = max(large, key=lambda row: row["top_direction_share"])
        out.append(
            f"One direction holds {worst['top_direction_share']:.0%} of the variance at {worst['site']} (more than "
            f"half at {len(large)} sites): participation ratio and effective rank describe mostly that direction there."
        )
    return out


def add_chapter(page: Page, trained: Spectra, control: Spectra | None, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter of the report."""
    section = page.section("Eigenspectra", "spectra")
    section.text(
        "The eigenvalues of the activation covariance fall roughly as a power law, index to the alpha. alpha = -1 "
        "marks finite variance in the limit of many dimensions. The fit is a Huber regression over indices 10 to 50; "
        "few tokens push it up, clustered tokens push it down, so the corrected value and its interval are built by "
        "simulating documents like these (parametric indirect inference) and checked on both kinds of data."
    )
    section.figure(figures["alpha"])
    for line in warnings(trained.rows):
        section.warning(line)
    section.table(claims_rows(claims(trained)), caption="The source's statement, on this model.")
    section.figure(figures["spectra"]).figure(figures["dimension"])
    section.table(trained.rows, COLUMNS, "The trained model.")
    if any("with_position_0" in row for row in trained.rows):
        rows = [{"site": row["site"], **row["with_position_0"]} for row in trained.rows]
        section.table(rows, caption="The same with the left-out positions put back.")
    if control is not None:
        section.table(control.rows, COLUMNS, "Control: the same architecture, untrained.")
