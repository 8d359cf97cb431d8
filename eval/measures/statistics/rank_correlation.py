"""Rank correlation with ties, and its interval over groups."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from eval.measures.statistics.resampling import bootstrap
from eval.scores import Score


def rank_correlation(first: np.ndarray, second: np.ndarray, group: np.ndarray, seed: int) -> Score:
    """Spearman correlation of two columns of pairs with an interval over groups (documents of the first members)."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return Score.undefined("a constant distance has no rank correlation")
    x, y = rankdata(first), rankdata(second)
    place = np.unique(group, return_inverse=True)[1]
    columns = np.stack([np.bincount(place, v) for v in (np.ones(len(x)), x, y, x * x, y * y, x * y)])

    def statistic(weights: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, syy, sxy = (weights @ columns.T).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return (n * sxy - sx * sy) / np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))

    return bootstrap(statistic, columns.shape[1], seed=seed)


def image_rank_correlation(a: np.ndarray, b: np.ndarray, seed: int) -> Score:
    """Spearman correlation over pairs of images, with an interval that resamples images."""
    upper = np.triu_indices(len(a), 1)
    ranks = [rankdata(m[upper]) for m in (a, b)]

    def correlation(weights: np.ndarray) -> np.ndarray:
        out = []
        for w in weights:
            pair = w[upper[0]] * w[upper[1]]
            with np.errstate(invalid="ignore", divide="ignore"):
                x, y = (r - pair @ r / pair.sum() for r in ranks)
                out.append(pair @ (x * y) / np.sqrt((pair @ x**2) * (pair @ y**2)))
        return np.array(out)

    return bootstrap(correlation, len(a), method="percentile", n_resamples=500, seed=seed)
