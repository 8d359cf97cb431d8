"""From one number per seed to a value with its interval; groups of sites by depth."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.stats import t as student

from eval.scores import Score

EARLY, MIDDLE, LATE = range(1, 6), range(6, 14), range(14, 18)
"""ReLU sites by depth: the stem and stage 1; stages 2 and 3; stage 4."""


def over_seeds(values: Iterable[float | None], confidence: float = 0.95) -> Score:
    """Mean over seeds with Student's t interval (n - 1 degrees of freedom).

    Undefined seeds are left out and counted in the reason; with one seed there is a value but no interval.
    """
    found = list(values)
    defined = np.array([v for v in found if v is not None and np.isfinite(v)], dtype=float)
    n = len(defined)
    if n == 0:
        return Score.undefined(f"undefined in all {len(found)} seeds", 0)
    if n == 1:
        return Score(float(defined[0]), n=1, interval_reason="one seed; an interval over seeds needs two")
    half = student.ppf(0.5 + confidence / 2, n - 1) * defined.std(ddof=1) / np.sqrt(n)
    mean = float(defined.mean())
    return Score(mean, mean - half, mean + half, n)


def slope(x: Iterable[float], y: Iterable[float | None]) -> float | None:
    """Least-squares slope of y on x over the defined pairs; None for fewer than two different x."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if b is not None]
    if len({a for a, _ in pairs}) < 2:
        return None
    horizontal, vertical = np.array(pairs, dtype=float).T
    return float(np.polyfit(horizontal, vertical, 1)[0])


def rank_correlation(x: Iterable[float | None], y: Iterable[float | None]) -> float | None:
    """Spearman's rho over the defined pairs; None for fewer than three pairs or a constant side."""
    from scipy.stats import spearmanr

    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
    if len(pairs) < 3 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return None
    rho = spearmanr(*np.array(pairs).T)
    return float(np.asarray(rho)[0])


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the defined values; None where there is none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
