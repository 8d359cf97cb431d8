"""What `connector eval` found, as sections of a page: scorecard, pruning, interventions, logic, circuits, verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import claims_rows
from eval.report.page import Page
from llm_codes.lenses.circuits.levels import levels_of, licensed
from llm_codes.lenses.circuits.rows import ChainEvaluation, Circuit, LogicForms, UntrainedEvaluation
from llm_codes.lenses.connectors.rows import EdgeValidation, Scorecard
from llm_codes.lenses.connectors.scorecard import CONNECTOR

SCORECARD = (
    *("row", "ce", "ce_delta", "ci", "share_of_gap", "share_of_gap_ci"),
    *("kl", "kl_ci", "share_of_kl", "share_of_kl_ci"),
)
AGREEMENT = ("sign_agreement", "sign_agreement_ci", "sign_agreement_null", "r2", "r2_ci", "r2_null", "correlation")


def add_scorecard(page: Page, found: Scorecard, untrained: UntrainedEvaluation | None = None) -> None:
    """The nine rows and the controls, the untrained network's among them."""
    section = page.section("Causal scorecard", "scorecard")
    section.text(
        "One MLP branch replaced in each row; CE in nats per token on held-out documents, 95% intervals. The share is "
        "(CE - CE(SAE-out only)) / (CE(mean-ablated) - CE(SAE-out only)): 0 is as good as the output dictionary alone, "
        "1 as bad as ablation. KL: from the model's own predictions, and the same share of it."
    )
    section.table(found.rows(), SCORECARD)
    section.table(
        [row.to_json() for row in found.controls], SCORECARD, "Controls: fitted as long as the connector's own refit"
    )
    if untrained is not None:
        rows = [row.to_json() for row in untrained.scorecard]
        section.table(rows, SCORECARD, "Control: the untrained network with dictionaries and a connector of its own")


def add_tests(page: Page, found: ChainEvaluation) -> None:
    """Pruning frontier, edge validation, logic forms, circuits, verdicts: those of them that were measured."""
    if found.frontier:
        section = page.section("Pruning frontier", "frontier")
        rows = [row.to_json() for row in found.frontier]
        section.table(rows, ("method", "budget", "edges_per_output", "ce_delta", "fvu"))
    if found.edge_validation is not None:
        page.section("Do the edges do what they say?", "edges").table(
            agreement_rows(found.edge_validation),
            ("change", *AGREEMENT),
            f"{found.edge_validation.n_edges} edges drawn by attribution: one input feature taken out or doubled in "
            "the real MLP, held-out tokens; nulls pair edges at random",
        )
    if found.readable:
        page.section("Can the equations be read?", "readable").table(
            [row.to_json() for row in found.readable],
            ("terms", "outputs", "carried", "share", "share_ci", "median"),
            "Outputs of which so many terms, the others at their mean, carry 80% of the variance on held-out tokens",
        )
    if found.circuits and found.logic_forms is not None:
        _add_circuits(page, found.circuits, found.logic_forms)
    if found.claims:
        page.section("Statements of the feature-connector post", "claims").table(claims_rows(found.claims))
    if any(row.row == CONNECTOR for row in found.scorecard.scorecard):
        levels = levels_of(found)
        section = page.section("What these circuits may claim", "chain-levels")
        section.table([level.to_json() for level in levels])
        section.text(licensed(levels))


def agreement_rows(tested: EdgeValidation) -> list[dict[str, object]]:
    """One row per kind of change."""
    return [{"change": kind, **getattr(tested, kind).to_json()} for kind in ("ablate", "boost")]


def _add_circuits(page: Page, circuits: Sequence[Circuit], logic: LogicForms) -> None:
    """Circuits with equation, what they fire on, logic and interventions."""
    section = page.section("Circuits", "circuits-found")
    named = ", ".join(f"{count} {kind}" for kind, count in logic.named.items())
    section.text(
        f"{logic.outputs_tested} output features, {logic.forms_tested} logic forms tested together (FDR .05, documents "
        f"as units). Named: {named}."
    )
    section.table([circuit_row(circuit) for circuit in circuits])


def circuit_row(circuit: Circuit) -> dict[str, str | None]:
    """One circuit in a line: interventions as `IF_j ablate: predicted / real`."""
    tests = [f"IF_{t.input} {t.kind}: {t.predicted:+.2f} / {t.actual:+.2f}" for t in circuit.interventions]
    logic = circuit.logic
    return {
        "equation": circuit.described.equation,
        "fires on": " ".join(repr(token) for token in circuit.described.fires_on),
        "logic": f"{logic.words} (precision {logic.precision:.2f}, recall {logic.recall:.2f})"
        if logic
        else circuit.logic_reason,
        "predicted / real change": "; ".join(tests),
    }
