"""`--until-decided`: units come in random order, and the run stops once every comparison of kinds is decided.

A budget that is reached (`--budget-usd`) ends it too: with the comparisons as they stood at the last look.

Units are drawn with replacement from the recorded ones of their kind and layer, a few of every kind between two looks;
one that is drawn again costs nothing. What is drawn depends on the seed and on what was decided, so a continued run
draws the same units and reads their results back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.errors import BudgetReachedError
from eval.explanation.comparison.deciding import Compared, Decision, Watch
from eval.explanation.results import UnitResult
from eval.explanation.units import compared_kinds
from eval.progress import say
from llm_codes.configs.explain import ExplainOptions
from llm_codes.lenses.explain.recording import Recorded

DRAWN_AT_ONCE = 8
"""Units of each kind and layer between two looks."""
STOPPED = (
    " Units were drawn in random order until every comparison was decided at a margin of {margin:g}, or {most} of each "
    "kind were drawn in each layer: the decisions' intervals hold at every look, those of the other tables for a size "
    "that was fixed beforehand."
)
Kind = tuple[str, int]
"""(family, layer)."""
Score = Callable[[str, Kind, Sequence[int]], tuple[list[UnitResult], list[np.ndarray]]]
"""(condition, kind, units by number) -> their results and predictions."""


@dataclass(eq=False)
class Drawn:
    """What was scored until the stop, and where each comparison stood then. stopped: why, where the budget ended it."""

    units: list[UnitResult] = field(default_factory=list)
    predictions: list[np.ndarray] = field(default_factory=list)
    decisions: tuple[Decision, ...] = ()
    stopped: str = ""


def stopped(options: ExplainOptions) -> str:
    """What a run says about its size."""
    return STOPPED.format(margin=options.until_decided, most=options.most_units)


def draw_until_decided(recorded: Recorded, options: ExplainOptions, score: Score, seed: int) -> Drawn:
    """Draw, explain and score units, in every condition, until all comparisons are decided or `most_units` are drawn.

    A control is scored for the very units that were drawn. Raises `UserError` where no two kinds share a layer, and
    `BudgetReachedError` where nothing was scored before.
    """
    members = members_of(recorded)
    turns = {
        kind: np.random.default_rng([seed, 17, place]).choice(numbers, options.most_units)
        for place, (kind, numbers) in enumerate(members.items())
    }
    watch, out = Watch(comparisons(recorded), options.until_decided), Drawn()
    known: dict[int, float | None] = {}
    for first in range(0, options.most_units, DRAWN_AT_ONCE):
        asked = watch.undecided
        if not asked:
            break
        kinds = dict.fromkeys((family, one.layer) for one in asked for family in (one.a, one.b))
        wanted = {kind: turns[kind][first : first + DRAWN_AT_ONCE].tolist() for kind in kinds}
        try:
            _score_turn(recorded, wanted, score, known, out)
        except BudgetReachedError as error:
            if not out.units:
                raise
            out.stopped = str(error)
            break
        for one in asked:
            sides = ([known[number] for number in wanted[family, one.layer]] for family in (one.a, one.b))
            watch.add(one, zip(*sides, strict=True))
        _tell(watch, asked)
    out.decisions = watch.decisions
    return out


def _score_turn(
    recorded: Recorded, wanted: dict[Kind, list[int]], score: Score, known: dict[int, float | None], out: Drawn
) -> None:
    """Score the units of one turn that were not drawn before, in every condition; a turn counts as a whole or not."""
    units, predictions, values = [], [], {}
    for kind, turn in wanted.items():
        new = [number for number in dict.fromkeys(turn) if number not in known]
        for condition in recorded.books if new else ():
            found, kept = score(condition, kind, new)
            units += found
            predictions += kept
            if condition == "trained":
                values |= {number: one.primary.value for number, one in zip(new, found, strict=True)}
    out.units += units
    out.predictions += predictions
    known |= values


def members_of(recorded: Recorded) -> dict[Kind, list[int]]:
    """The units of each kind and layer, by their number in a book."""
    out: dict[Kind, list[int]] = {}
    for number, unit in enumerate(recorded.books["trained"].units):
        out.setdefault((unit.family, unit.layer), []).append(number)
    return out


def comparisons(recorded: Recorded) -> list[Compared]:
    """The first kind with every other one, in each layer that has both."""
    kinds = members_of(recorded)
    pairs = compared_kinds((unit, "trained") for unit in recorded.books["trained"].units)
    layers = sorted({layer for _, layer in kinds})
    return [Compared(a, b, layer) for a, b in pairs for layer in layers if {(a, layer), (b, layer)} <= kinds.keys()]


def _tell(watch: Watch, asked: Sequence[Compared]) -> None:
    """The comparison as it grows: a line for each one that was still open."""
    for decision in watch.decisions:
        if Compared(decision.a, decision.b, decision.layer) in asked:
            say(decision.line())
