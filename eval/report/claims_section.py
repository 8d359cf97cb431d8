"""The table of claims of a page: every statement with what it rests on, counted by kind.

Only statements of a source and predictions of ours are counted; theorems and self-tests stand in a table of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from eval.claims import COUNTED, VERDICTS, Claim, controls_text, measured_text
from eval.report.page import Page, Section

SHOWN = (
    "verdict", "claim", "measured", "units", "controls", "source", "estimand", "margin", "before Holm", "family", "p",
    "run", "note",
)  # fmt: skip
"""Columns of a page, in order: what a narrow window cuts off is the least; `run` only where there are several."""
STYLE = """
.tally span { display: inline-block; margin-right: 22px; } .tally b { font-size: 26px; }
#claims th, #claims td { min-width: 84px; padding-right: 14px; }
#claims td.verdict { white-space: normal; min-width: 110px; }
#claims td:nth-child(2) { min-width: 240px; }
#claims td:nth-child(n+3):nth-child(-n+7) { min-width: 150px; }
#claims td:last-child { min-width: 320px; }
@media print { #claims th, #claims td:nth-child(n) { min-width: 0; padding-right: 4px; } }
"""


def full_rows(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """One row per claim, for other programs.

    estimand: the number and where it is predicted to lie; units: its own; margin: of equivalence, in the same units; p:
    of the decision, two-sided, before the correction of its family; before correction: the verdict then.
    """
    return [
        {
            "verdict": claim.verdict,
            "claim": claim.claim,
            "source": claim.source,
            "estimand": claim.prediction,
            "units": claim.units,
            "measured": claim.measured,
            "interval": None if claim.interval is None else list(claim.interval),
            "controls": controls_text(claim.controls) if claim.controls else "",
            "margin": claim.tolerance,
            "family": claim.family,
            "p": claim.p,
            "before correction": claim.uncorrected or claim.verdict,
            "kind": claim.kind,
            "note": claim.note,
        }
        for claim in claims
    ]


def add_claims(page: Page, claims: Sequence[Claim], runs: Sequence[str] | None = None) -> Section:
    """The first section of a page: the tally, then every counted claim, then theorems and self-tests apart.

    runs: the run of each claim, where they come from several. The section adds nothing to the page's summary, which
    lists the statements of the chapters.
    """
    section = Section("claims", "Statements and verdicts")
    page.sections.insert(0, section)
    if not claims:
        return section.text("No statement was judged.")
    section.markup(_head(claims)).text(RULE)
    page.style(STYLE)
    rows = _shown_rows(claims, runs)
    names = [name for name in SHOWN if name in rows[0]]
    counted, apart = ([row for row in rows if (row["kind"] in COUNTED) == yes] for yes in (True, False))
    if counted:
        section.table(counted, names, caption="Statements of sources and predictions of ours; 95% intervals")
    if apart:
        section.table(apart, names, caption="Theorems and self-tests: not counted")
    section.judged.clear()
    return section


def _head(claims: Sequence[Claim]) -> Markup:
    """How many hold, hold as their controls do, fail, cannot be told: each as large as the others."""
    counted = [claim for claim in claims if claim.kind in COUNTED]
    numbers = Markup("").join(
        Markup('<span class="verdict {}"><b>{}</b> {}</span> ').format(
            verdict.replace(" ", "-"), sum(claim.verdict == verdict for claim in counted), verdict
        )
        for verdict in VERDICTS
    )
    apart = len(claims) - len(counted)
    passed = sum(claim.verdict == "holds" for claim in claims if claim.kind not in COUNTED)
    beside = f"Not counted: {passed} of {apart} theorems and self-tests pass." if apart else ""
    return Markup('<p class="tally">{}</p><p>{}</p>').format(numbers, beside)


def _shown_rows(claims: Sequence[Claim], runs: Sequence[str] | None) -> list[dict[str, Any]]:
    """The same as a page shows them: a number with its interval, a prediction of ours marked as one."""
    rows = []
    for index, (claim, row) in enumerate(zip(claims, full_rows(claims), strict=True)):
        source = claim.source + (" (a prediction of ours)" if claim.kind == "prediction of ours" else "")
        shown = {"measured": measured_text(claim), "source": source, "before Holm": row["before correction"]}
        rows.append(row | shown | ({} if runs is None else {"run": runs[index]}))
    return rows


RULE = (
    "A statement holds where its 95% interval lies on the predicted side and clear of every control's; holds, and so "
    "does its control, where something it is not about shows it as well; families are corrected together by Holm."
)
