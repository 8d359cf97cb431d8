"""How much less mixed are the tokens of a cluster, or of a direction's top, than random tokens? Effects and controls.

Measured at `FIXED_SIZE` tokens a set and extrapolated (`eval.measures.clustering.entropy_reduction`), for the token
itself and for the one that follows. Controls from the same activations: random directions and neurons. The sets of a
direction are its strongest items, a fixed share of all, so that more text means more tokens of the same kind.

Axis glossary: ``item`` sampled tokens, ``width`` of the hidden activations, ``direction``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from eval.measures.clustering.entropy_reduction import entropy_reduction
from eval.measures.dictionaries.directions import top_items
from eval.measures.statistics.resampling import bootstrap_mean
from eval.results import Result, result
from eval.scores import Score
from eval.verdicts import difference
from llm_codes.lenses.polytopes.samples import TokenSample

CODES, ACTIVATIONS, NMF = "clusters of codes", "clusters of activations", "NMF directions"
RANDOM, NEURONS = "random directions", "neurons"
TOP_SHARE = 0.01
LEAST_TOP = 20
LEAST_SETS = 10


@result
class Meaning(Result):
    """Mean over sets of 1 - entropy / that of random tokens, in (-inf, 1]; above 0: less mixed. Higher: one meaning.

    of: which sets. label: `token` or `next token`. fixed: at 5 tokens a set; extrapolated: to infinitely many.
    Intervals resample sets, of which at least 10 are needed.
    """

    of: str
    label: str
    n_sets: int
    fixed: Score
    extrapolated: Score


@result
class MeaningLess(Result):
    """The same number minus each control: what the sets have beyond any direction, and beyond random weights."""

    of: str
    label: str
    fixed: Score
    extrapolated: Score
    minus: str


def meaning_of(name: str, sets: Sequence[np.ndarray], sample: TokenSample, seed: int) -> tuple[Meaning, ...]:
    """The rows of one kind of sets, one for each label."""
    rows = []
    for label, labels in (("token", sample.token), ("next token", sample.next_token)):
        found = entropy_reduction(sets, labels)
        rows.append(Meaning(name, label, len(sets), _mean(found.fixed, seed), _mean(found.extrapolated, seed)))
    return tuple(rows)


def _mean(values: np.ndarray, seed: int) -> Score:
    if not np.isfinite(values).any():
        return Score.undefined("no set holds enough tokens with a label", 0)
    return bootstrap_mean(values, minimum_groups=LEAST_SETS, seed=seed)


def strongest(scores: np.ndarray) -> list[np.ndarray]:
    """The strongest hundredth of the items of each column, at least 20."""
    return top_items(scores, max(LEAST_TOP, math.ceil(TOP_SHARE * len(scores))))


def meaning_of_directions(
    nmf: np.ndarray, hidden: np.ndarray, sample: TokenSample, count: int, seed: int
) -> tuple[Meaning, ...]:
    """Rows of the NMF directions (scores `[item, direction]`), and of as many random directions and neurons."""
    generator = np.random.default_rng(seed)
    units = generator.permutation(hidden.shape[1])[:count]
    random = (hidden - hidden.mean(0)) @ generator.normal(size=(hidden.shape[1], count))
    kinds = {NMF: nmf, RANDOM: random, NEURONS: hidden[:, units]}
    return tuple(row for name, scores in kinds.items() for row in meaning_of(name, strongest(scores), sample, seed))


def controls_of(own: Sequence[Meaning], untrained: Sequence[Meaning], row: Meaning) -> dict[str, Meaning]:
    """The controls of one row: random directions and neurons of the same network, the same sets of the untrained."""
    same = {one.of: one for one in own if one.label == row.label}
    out = {name: same[name] for name in (RANDOM, NEURONS) if name in same and name != row.of}
    other = next((one for one in untrained if (one.of, one.label) == (row.of, row.label)), None)
    return out if other is None else out | {"untrained": other}


def less_controls(own: Sequence[Meaning], untrained: Sequence[Meaning]) -> tuple[MeaningLess, ...]:
    """Every row of the statements minus every control, with the interval of the difference."""
    return tuple(
        MeaningLess(
            row.of, row.label, difference(row.fixed, control.fixed),
            difference(row.extrapolated, control.extrapolated), name,
        )
        for row in own
        if row.of in (CODES, ACTIVATIONS, NMF)
        for name, control in controls_of(own, untrained, row).items()
    )  # fmt: skip
