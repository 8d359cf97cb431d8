"""Means that are looked at again and again: intervals that hold at every look, however the run is stopped.

Axes: ``value`` (in the order in which they came), ``look`` (after each value). Own code, since no library is well kept:
`confseq` 0.0.11, of the authors, has had no release since January 2023 and is built from C++ sources; `ville` 0.1.0 is
one release old.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from eval.errors import UserError

LARGEST_BET = 0.9
"""Share of the capital that one value may cost at most. Any number below 1 is valid; at 1/2 (the authors') differences
of scores, which use little of their range, take half as many values again."""


def betting_sequence(
    values: Real[np.ndarray, " value"], *, low: float, high: float, level: float = 0.95, candidates: int = 2000
) -> tuple[Float[np.ndarray, " look"], Float[np.ndarray, " look"]]:
    """Which means are still possible after each value, whenever one looks? (lower ends, upper ends).

    The hedged capital interval [Waudby-Smith & Ramdas 2024, section 4.4]: for every candidate mean m two gamblers start
    with 1/2 each and bet for and against the next value x (scaled to [0, 1]),

        K+_t(m) = K+_{t-1}(m) (1 + lambda_t (x_t - m)),    K-_t(m) = K-_{t-1}(m) (1 - lambda_t (x_t - m)),
        lambda_t = sqrt(2 log(2 / alpha) / (s2_{t-1} t log(t + 1))), cut to c / m and c / (1 - m), c = ``LARGEST_BET``,

    s2 the shrunk variance of the values before. Where m is the mean, K+ and K- are martingales, so by Ville's
    inequality either exceeds 2 / alpha at any time with probability alpha at most; an m is out once one does, for good
    (the intervals are intersected over looks). Assumes values in [low, high] whose mean, given the past, does not
    change; nothing else. Candidates stand in the middle of `candidates` equal cells; a cell of a candidate that is left
    is in the interval. An interval that became empty stays at its last ends.

    Raises:
        UserError: bounds that are not in order, a value outside of them or not finite.
    """
    values = np.asarray(values, dtype=float)
    if not low < high or not np.all((low <= values) & (values <= high)):
        raise UserError(f"expected values between {low:g} and {high:g}, the lower bound first; widen the bounds")
    x = (values - low) / (high - low)
    mean = (np.arange(candidates) + 0.5) / candidates
    bets, gain = _bets(x, 1 - level)[:, None], x[:, None] - mean
    above = np.cumsum(np.log1p(np.minimum(bets, LARGEST_BET / mean) * gain), axis=0)
    below = np.cumsum(np.log1p(-np.minimum(bets, LARGEST_BET / (1 - mean)) * gain), axis=0)
    left = np.logical_and.accumulate(np.maximum(above, below) < np.log(2 / (1 - level)), axis=0)
    there = left.any(axis=1)
    first = np.where(there, left.argmax(axis=1), 0) / candidates
    last = np.where(there, candidates - left[:, ::-1].argmax(axis=1), candidates) / candidates
    lower, upper = np.maximum.accumulate(first), np.minimum.accumulate(last)
    return low + lower * (high - low), low + upper * (high - low)


def _bets(x: Float[np.ndarray, " value"], alpha: float) -> Float[np.ndarray, " value"]:
    """How much is bet on each value, from the values before it alone."""
    turn = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (turn + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (turn + 1)
    before = np.concatenate([[0.25], variance])[: len(x)]
    return np.sqrt(2 * np.log(2 / alpha) / (before * turn * np.log(turn + 1)))
