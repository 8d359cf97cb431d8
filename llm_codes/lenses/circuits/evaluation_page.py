"""What `connector eval` found, as sections of a page: scorecard, pruning, interventions, logic, circuits, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.claims import Claim, claims_rows
from eval.report.page import Page

SCORECARD = ("row", "ce", "ce_delta", "ci", "share_of_gap", "share_of_gap_ci")
AGREEMENT = ("sign_agreement", "sign_agreement_ci", "sign_agreement_null", "r2", "r2_ci", "r2_null", "correlation")


def add_scorecard(page: Page, results: Mapping[str, Any]) -> None:
    """The nine rows and the controls."""
    section = page.section("Causal scorecard", "scorecard")
    section.text(
        "One MLP branch replaced in each row; CE in nats per token on held-out documents, 95% intervals. The share is "
        "(CE - CE(SAE-out only)) / (CE(mean-ablated) - CE(SAE-out only)): 0 is as good as the output dictionary alone, "
        "1 as bad as ablation."
    )
    section.table(results["scorecard"], SCORECARD)
    section.table(results.get("controls", []), SCORECARD, "Controls: fitted as long as the connector's own refit")


def add_tests(page: Page, results: Mapping[str, Any]) -> None:
    """Pruning frontier, edge validation, logic forms, circuits, verdicts: those of them that were measured."""
    if results.get("frontier"):
        section = page.section("Pruning frontier", "frontier")
        section.table(results["frontier"], ("method", "budget", "edges_per_output", "ce_delta", "fvu"))
    if results.get("edge_validation"):
        section = page.section("Do the edges do what they say?", "edges")
        rows = [{"change": kind, **results["edge_validation"][kind]} for kind in ("ablate", "boost")]
        section.table(
            rows,
            ("change", *AGREEMENT),
            f"{results['edge_validation']['n_edges']} edges drawn by attribution: one input feature taken out or "
            "doubled in the real MLP, held-out tokens; nulls pair edges at random",
        )
    if results.get("circuits"):
        _add_circuits(page, results)
    if results.get("claims"):
        claims = [
            Claim(**{**claim, "interval": claim["interval"] and tuple(claim["interval"])})
            for claim in results["claims"]
        ]
        page.section("Statements of the feature-connector post", "claims").table(claims_rows(claims))


def _add_circuits(page: Page, results: Mapping[str, Any]) -> None:
    """Circuits with equation, what they fire on, logic and interventions."""
    section = page.section("Circuits", "circuits-found")
    logic = results["logic_forms"]
    named = ", ".join(f"{count} {kind}" for kind, count in logic["named"].items())
    section.text(
        f"{logic['outputs_tested']} output features, {logic['forms_tested']} logic forms tested together (FDR .05, "
        f"documents as units). Named: {named}."
    )
    section.table([circuit_row(circuit) for circuit in results["circuits"]])


def circuit_row(circuit: Mapping[str, Any]) -> dict[str, Any]:
    """One circuit in a line: interventions as `IF_j ablate: predicted / real`."""
    tests = [
        f"IF_{test['input']} {test['kind']}: {test['predicted']:+.2f} / {test['actual']:+.2f}"
        for test in circuit["interventions"]
    ]
    logic = circuit["logic"]
    return {
        "equation": circuit["equation"],
        "fires on": " ".join(repr(token) for token in circuit["fires_on"]),
        "logic": f"{logic['words']} (precision {logic['precision']:.2f}, recall {logic['recall']:.2f})"
        if logic
        else circuit["logic_reason"],
        "predicted / real change": "; ".join(tests),
    }
