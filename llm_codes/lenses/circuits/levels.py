"""What a connector's circuits may claim: which parts of a claim were measured, with the number, and the strongest one.

The circuit is the chain of one MLP: features before it, edges, features at its output. Documents are the units of its
shares, edges those of its interventions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eval.scores import Score
from llm_codes.lenses.circuits.rows import ChainEvaluation
from llm_codes.lenses.connectors.rows import ScorecardRow
from llm_codes.lenses.connectors.scorecard import ABLATED, CONNECTOR
from llm_codes.lenses.graphs.levels import Level, above, below, not_measured

HALF = 0.5
NECESSITY, SUFFICIENCY = "necessity of the MLP", "sufficiency"
EDGES, RANDOM, UNTRAINED = "edges beyond their null", "distance from random edges", "distance from an untrained network"
OPEN = ("specificity (another kind of text)", "consistency (rephrasings, seeds)", "minimality")


def levels_of(found: ChainEvaluation) -> list[Level]:
    """Ablation of the MLP, what the connector leaves of it, its edges, random edges, the untrained network."""
    rows = found.scorecard.scorecard
    own, controls = _share(rows, CONNECTOR), found.scorecard.controls
    out = [
        Level(NECESSITY, "mean-ablated: nats lost per token", cost := _cost(rows), above(cost, 0.0)),
        Level(SUFFICIENCY, "the connector in its place: share of that ablation's KL left", own, below(own, HALF)),
    ]
    if found.edge_validation is not None:
        ablate = found.edge_validation.ablate
        words = f"sign of a source taken out of the real MLP; null {ablate.sign_agreement_null}"
        apart = below(ablate.sign_agreement_null, ablate.sign_agreement)
        out.append(Level(EDGES, words, ablate.sign_agreement, apart))
    chance = _share(controls, "random edges, refitted")
    out.append(Level(RANDOM, "as many random edges, refitted: share left", chance, below(own, chance)))
    if found.untrained is None:
        out.append(not_measured(UNTRAINED))
    else:
        there = _share(found.untrained.scorecard, CONNECTOR)
        out.append(Level(UNTRAINED, "its own connector: share left", there, below(own, there)))
    return [*out, *map(not_measured, OPEN)]


def licensed(levels: Sequence[Level]) -> str:
    """The strongest claim that the measured parts license, in a sentence."""
    passed = {level.part: level.passed for level in levels}
    if not passed[SUFFICIENCY] or not passed[RANDOM]:
        return (
            "Licensed: none about the whole chain; its connector is not told from half of the ablation or from chance."
        )
    edges = "its edges foretell signs beyond their null" if passed.get(EDGES) else "its single edges are not shown"
    trained = {
        None: "whether training made it so was not measured",
        True: "an untrained network's leaves more",
        False: "an untrained network's leaves as little or less, so that it says nothing of training",
    }[passed[UNTRAINED]]
    words = "the connector does most of what this MLP does on held-out text of the same kind"
    return f"Licensed: {words}; {edges}; {trained}."


def _share(rows: Iterable[ScorecardRow], name: str) -> Score:
    row = next((row for row in rows if row.row == name), None)
    return Score.undefined("not measured") if row is None or row.share_of_kl is None else row.share_of_kl


def _cost(rows: Iterable[ScorecardRow]) -> Score:
    row = next((row for row in rows if row.row == ABLATED), None)
    return Score.undefined("not measured") if row is None else row.ce_delta
