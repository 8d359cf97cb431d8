"""The page of weights between features: two tables, a figure, claims, and the weights of some features."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import claims_rows
from eval.report.page import Section
from eval.runs import Run
from llm_codes.lenses.weights.figures import draw_weights
from llm_codes.lenses.weights.rows import WeightAgreement, WeightFit, WeightsResults

COLUMNS = ("method", "measured", "tests", "foretells", "sign", "rank", "r2", "slope")
FIT_COLUMNS = ("method", "own", "refitted", "activation", "heads")


def agreement_rows(rows: Sequence[WeightAgreement]) -> list[dict[str, str]]:
    """Rows as text, a score with its interval or the reason why it has no value."""
    return [{name: _text(getattr(row, name)) for name in COLUMNS} for row in rows]


def fit_rows(rows: Sequence[WeightFit]) -> list[dict[str, str]]:
    """The same for held-out prediction."""
    return [{name: _text(getattr(row, name)) for name in FIT_COLUMNS} for row in rows]


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def add_weights(section: Section, run: Run, results: WeightsResults, inputs: str) -> None:
    """Everything that `circuit weights` found."""
    section.text(inputs)
    section.text(
        f"{results.targets} features, drawn over all layers but the lowest, get {results.edges_per_feature} weights "
        "each to features of lower layers, along the residual stream at the same position and through every head at "
        f"its pattern; fitted on {results.fit_tokens:,} tokens of training documents. In {results.windows} held-out "
        "windows, each of another document, one source of every method is taken out where a target is on, and the "
        "target's pre-activation watched: direct, with the MLPs between held, and total. Every method is judged on the "
        "sources of all; what it has no edge for it foretells as no change."
    )
    section.figure(draw_weights(run, results.agreement, results.fits))
    section.table(agreement_rows(results.agreement), COLUMNS, caption="Interventions; 95% intervals over documents")
    section.table(fit_rows(results.fits), FIT_COLUMNS, caption="Held-out prediction, FVU; share of edges through heads")
    section.table(claims_rows(results.claims), caption="Claims")
