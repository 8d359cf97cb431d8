"""Does a part of a network do what the whole does? Faithfulness curves and their areas.

Axis glossary: ``prompt`` the prompts measured, ``share`` the shares of nodes kept, rising from 0 (everything ablated)
to 1 (nothing ablated).

    F(share) = (m(share) - m(0)) / (m(model) - m(0))

with sums over prompts above and below the line, so that a prompt on which ablation changes little weighs little. 0: no
better than everything ablated; 1: as the model; above 1 and below 0 are possible.
CPR: area under F against the share of nodes kept, linear axis, 0 to 1, higher is better; CMD: area of |1 - F|, lower is
better, 0 where every part is the model. [Mueller et al. 2025, MIB, section 3; theirs keep edges and patch from
counterfactual prompts, these keep nodes and ablate to a reference]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap, bootstrap_ratio
from eval.scores import Score


@dataclass(frozen=True)
class Faithfulness:
    """curve: F at every share. cpr, cmd: its areas. n of each: groups."""

    curve: tuple[Score, ...]
    cpr: Score
    cmd: Score


def faithfulness(
    metric: Float[np.ndarray, "prompt share"],
    whole: Float[np.ndarray, " prompt"],
    shares: Float[np.ndarray, " share"],
    group: Int[np.ndarray, " prompt"],
    *,
    seed: int = 0,
) -> Faithfulness:
    """The curve and its areas, intervals over groups of prompts (documents).

    Args:
        metric: of the part, at each share. whole: of the model. shares: rising, from 0 to 1.

    Raises:
        UserError: shares that do not rise from 0 to 1.
    """
    if shares[0] != 0 or shares[-1] != 1 or bool((np.diff(shares) <= 0).any()):
        raise UserError(f"expected shares that rise from 0 to 1; got {shares.tolist()}; add both ends")
    place = np.unique(group, return_inverse=True)[1]
    count = int(place.max()) + 1
    gain = np.stack([np.bincount(place, column, count) for column in (metric - metric[:, :1]).T])
    full = np.bincount(place, whole - metric[:, 0], count)

    def curve(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights @ gain.T) / (weights @ full)[:, None]

    def area(values: np.ndarray) -> np.ndarray:
        return np.trapezoid(values, shares, axis=1)

    points = [bootstrap_ratio(column, full, seed=seed) for column in gain]
    cpr = bootstrap(lambda w: area(curve(w)), count, seed=seed)
    cmd = bootstrap(lambda w: area(np.abs(1 - curve(w))), count, seed=seed)
    return Faithfulness(tuple(points), cpr, cmd)
