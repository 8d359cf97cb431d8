"""What a circuit may claim: which parts of a claim were measured, with the number, and the strongest level licensed.

Parts: necessity, sufficiency, specificity, consistency, minimality, distance from baselines. A graph alone measures
none of them; tests of its edges measure how far it foretells interventions, beside their null.
"""

from __future__ import annotations

from eval.results import Result, result
from eval.scores import Score
from llm_codes.lenses.graphs.edge_rows import EdgeTests

CHANCE = 0.5
UNMEASURED = (
    "necessity (see circuit curve)",
    "sufficiency (see circuit curve)",
    "specificity (unrelated prompts)",
    "consistency (resamples, rephrasings, seeds)",
    "minimality",
    "distance from an untrained network",
)


@result
class Level(Result):
    """One part of a claim. measured: whether, and how; passed: does the number support it? None where not measured."""

    part: str
    measured: str
    score: Score
    passed: bool | None


def not_measured(part: str) -> Level:
    return Level(part, "not measured", Score.undefined("not measured"), None)


def above(score: Score, bound: Score | float) -> bool | None:
    """Whether a score's interval lies above a number or another one's interval; None where an end is missing."""
    high = bound.high if isinstance(bound, Score) else bound
    return None if score.low is None or high is None else score.low > high


def below(score: Score, bound: Score | float) -> bool | None:
    """Whether a score's interval lies below a number or another one's interval; None where an end is missing."""
    low = bound.low if isinstance(bound, Score) else bound
    return None if score.high is None or low is None else score.high < low


def edge_levels(tests: EdgeTests | None) -> list[Level]:
    """What tested edges say, and what they leave open."""
    out = []
    if tests is not None:
        found = {(row.group, row.measured): row.sign for row in tests.agreement}
        inner, logit = "edges between features", "to the first logit"
        direct, null = found.get((inner, "direct")), found.get((inner, "direct, null"))
        if direct is not None and null is not None:
            words = f"sign of direct effects between features; null {null}"
            out.append(Level("edges beyond their null", words, direct, above(direct, null)))
        total = found.get((logit, "total"))
        if total is not None:
            words = "sign of total effects on the first logit against chance (.5)"
            out.append(Level("a forecast of ablations", words, total, above(total, CHANCE)))
    return [*out, *map(not_measured, UNMEASURED)]


def licensed_by_edges(levels: list[Level]) -> str:
    """The strongest claim that tested edges license, in a sentence."""
    passed = {level.part: level.passed for level in levels}
    if not passed.get("edges beyond their null"):
        reason = "too few prompts for an interval" if "edges beyond their null" in passed else "no edge was tested"
        return f"Licensed: a description of the frozen model, none of the model itself ({reason})."
    words = "Licensed: edges foretell the sign of direct effects beyond their null"
    if passed.get("a forecast of ablations"):
        return f"{words}, and the graph the sign of total effects on the logit beyond chance. No circuit is claimed."
    return f"{words}; the graph is no forecast of ablations. No circuit is claimed."
