"""What a circuit may claim: which parts of a claim were measured, with the number, and the strongest level licensed.

A necessary part hurts when ablated; a sufficient one does the work alone; a claim is no better than its distance from
random sets, and says nothing about training without an untrained network beside it.
"""

from __future__ import annotations

from eval.scores import Score
from llm_codes.lenses.faithfulness.claims import SMALL
from llm_codes.lenses.faithfulness.gates import FEATURES
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, CurveResults, curve_over_all
from llm_codes.lenses.faithfulness.study import COMPLEMENT
from llm_codes.lenses.graphs.levels import Level, above, below, not_measured

UNTRAINED_PART = "distance from an untrained network"
LEFT_OPEN = {
    None: "other prompts, about minimality, or about training: those were not measured.",
    True: "other prompts or about minimality: those were not measured.",
    False: "training, without which as few do as much, nor about other prompts or minimality, which were not measured.",
}
"""What stays open where the untrained network was not measured, falls short, or does as much."""


def levels_of(results: CurveResults) -> list[Level]:
    """Necessity, sufficiency, consistency, distance from random sets, and what was not measured."""
    out = []
    for ablation in ("mean", "resample"):
        without = _point(results, COMPLEMENT, ablation, 1 - SMALL)
        words = f"the {SMALL:.0%} most influential features {ablation}-ablated, the rest kept"
        out.append(Level("necessity", words, without, below(without, 0.5)))
        for errors in ("stay", "ablated"):
            alone = _point(results, "graph", ablation, SMALL, errors)
            words = f"the {SMALL:.0%} most influential features kept, errors {errors}, the rest {ablation}-ablated"
            out.append(Level("sufficiency", words, alone, above(alone, 0.5)))
    chance = _point(results, "random", "mean", SMALL)
    alone = _point(results, "graph", "mean", SMALL)
    out.append(Level("distance from random sets", "random features of the same number", chance, above(alone, chance)))
    same = next(row for row in results.stability if row.kind == ALL_KINDS)
    out.append(
        Level("consistency", "overlap, resampled reference", same.other_reference, above(same.other_reference, 0.5))
    )
    fewer = same.fewer_words_before
    out.append(Level("consistency", "overlap, three words fewer in front", fewer, above(fewer, 0.5)))
    out.append(_from_untrained(results, alone))
    for part in ("specificity (unrelated prompts)", "minimality", "other seeds"):
        out.append(not_measured(part))
    return out


def _from_untrained(results: CurveResults, alone: Score) -> Level:
    part, curves = UNTRAINED_PART, () if results.untrained is None else results.untrained.curves
    curve = curve_over_all(curves, FEATURES, "stay", "mean", "graph")
    if curve is None:
        return not_measured(part)
    there = curve.at(SMALL)
    return Level(
        part, f"the {SMALL:.0%} most influential features of the untrained network", there, above(alone, there)
    )


def strongest_level(levels: list[Level]) -> str:
    """The strongest claim that the measured parts license, in a sentence."""

    def held(part: str) -> bool:
        return all(level.passed for level in levels if level.part == part)

    if not held("distance from random sets"):
        return "Licensed: none; the nodes are not told from random ones."
    if held("necessity") and held("sufficiency"):
        words = "necessary and sufficient on these prompts"
    elif held("sufficiency"):
        words = "sufficient on these prompts, not shown to be necessary"
    elif held("necessity"):
        words = "necessary on these prompts, not sufficient under every ablation"
    else:
        words = "involved beyond chance; neither necessary nor sufficient at this size"
    stable = "the set is stable" if held("consistency") else "which nodes they are is not stable"
    training = next(level for level in levels if level.part == UNTRAINED_PART)
    return (
        f"Licensed: the most influential {SMALL:.0%} of the features are {words}; {stable}. Nothing is licensed about "
        f"{LEFT_OPEN[training.passed]}"
    )


def _point(results: CurveResults, ranking: str, ablation: str, share: float, errors: str = "stay") -> Score:
    curve = curve_over_all(results.curves, FEATURES, errors, ablation, ranking)
    return Score.undefined("not measured") if curve is None else curve.at(share)
