"""What tested edges license, and that nothing is licensed without an interval."""

from __future__ import annotations

from eval.scores import Score
from llm_codes.lenses.graphs.edge_rows import EdgeAgreement, EdgeTests
from llm_codes.lenses.graphs.levels import UNMEASURED, edge_levels, licensed_by_edges


def edges_with(direct: Score, null: Score, total: Score) -> EdgeTests:
    other = Score(0.0)
    inner, logit = "edges between features", "to the first logit"
    rows = [(inner, "direct", direct), (inner, "direct, null", null), (logit, "total", total)]
    return EdgeTests(30, 90, tuple(EdgeAgreement(*place, 30, sign, other, other, other) for *place, sign in rows))


def test_edges_beyond_their_null_are_licensed_and_no_circuit_is() -> None:
    null = Score(0.54, 0.52, 0.57)
    found = edge_levels(edges_with(Score(0.84, 0.81, 0.87), null, Score(0.58, 0.52, 0.64)))
    assert [level.passed for level in found] == [True, True, *[None] * len(UNMEASURED)]
    assert licensed_by_edges(found).endswith("on the logit beyond chance. No circuit is claimed.")
    found = edge_levels(edges_with(Score(0.84, 0.81, 0.87), null, Score(0.55, 0.49, 0.6)))
    assert "the graph is no forecast of ablations" in licensed_by_edges(found)
    found = edge_levels(edges_with(Score(0.56, 0.53, 0.6), null, Score(0.9, 0.8, 0.95)))
    assert licensed_by_edges(found).startswith("Licensed: a description of the frozen model")


def test_without_an_interval_or_without_tests_nothing_is_licensed() -> None:
    few = Score(0.9, interval_reason="2 documents")
    assert "too few prompts" in licensed_by_edges(edge_levels(edges_with(few, few, few)))
    assert "no edge was tested" in licensed_by_edges(edge_levels(None))
