"""Which units of a kind a run draws: at random, among those that fire on the explain documents."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def drawn(
    size: int, count: int, seed: list[int], live: Bool[np.ndarray, " unit"] | None = None
) -> tuple[Int[np.ndarray, " drawn"], int]:
    """(``count`` of ``size`` units, sorted, in an order that the seed decides; how many silent ones were passed over).

    live: which units fire; a silent one is passed over and the next is drawn (``None``: silent ones count as any).
    Where too few fire, silent ones fill up: as many rows as were asked for say what became of them.
    """
    order = np.random.default_rng(seed).permutation(size)
    fires = np.ones(size, dtype=bool) if live is None else np.asarray(live)[order]
    chosen = np.concatenate([np.flatnonzero(fires), np.flatnonzero(~fires)])[:count]
    passed_over = np.setdiff1d(np.arange(chosen.max(initial=-1) + 1), chosen)
    return np.sort(order[chosen]), len(passed_over)
