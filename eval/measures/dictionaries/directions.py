"""Directions in activation space: NMF and PCA, the angles they make with activations, the clusters they cross.

Prediction 1 of the polytope lens [Black et al. 2022, section 2]: a polysemantic direction overlaps several
monosemantic polytope regions. So: factor the activations, take each direction's strongest items, and count the clusters
of codes among them.

Axis glossary: ``item`` tokens, ``width`` of the activations, ``direction`` components, ``bin`` of a histogram.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap_mean, bootstrap_share
from eval.scores import Score

SIGNS = ("clip", "shift", "split")


@dataclass(frozen=True)
class Directions:
    """A factorisation: vectors `[direction, width]` (unit norm), scores `[item, direction]`, the method, and the share
    of the (transformed) activations' energy that is left, in [0, 1]."""

    vectors: Float[np.ndarray, "direction width"]
    scores: Float[np.ndarray, "item direction"]
    method: str
    unexplained: float


def nmf_directions(
    activations: Shaped[np.ndarray, "item width"], n_components: int = 64, *, negative: str = "clip", seed: int = 0
) -> Directions:
    """Non-negative directions, `X ~ S V` with S, V >= 0 (mini-batch NMF; the paper uses 64 components).

    Args:
        negative: what to do with negative activations: `clip` to 0 (GELU's small tail), `shift` every coordinate by
            its minimum, `split` into positive and negative parts (vectors are then `positive - negative`).
        n_components: cut to what items and width allow.

    Raises:
        UserError: an unknown choice, or activations that are not finite.
    """
    from sklearn.decomposition import MiniBatchNMF

    x = _finite(activations)
    if negative not in SIGNS:
        raise UserError(f"expected negative to be clip, shift or split; got {negative!r}; NMF needs a choice")
    low = x.min(0, initial=0)
    data = {"clip": np.maximum(x, 0), "shift": x - low, "split": np.hstack([np.maximum(x, 0), np.maximum(-x, 0)])}
    transformed = data[negative]
    count = max(1, min(n_components, *x.shape))
    build: Any = MiniBatchNMF  # its annotations call numbers strings
    model = build(count, init="nndsvda", batch_size=min(1024, len(x)), max_iter=100, random_state=seed)
    with warnings.catch_warnings():  # the share left unexplained is reported; reaching max_iter is no failure
        warnings.filterwarnings("ignore", message="Maximum number of iterations")
        scores = model.fit_transform(transformed)
    found = model.components_
    left = float(np.sum((transformed - scores @ found) ** 2) / max(np.sum(transformed**2), 1e-300))
    vectors = found[:, : x.shape[1]] - found[:, x.shape[1] :] if negative == "split" else found
    length = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.maximum(length, 1e-12)[:, None]
    return Directions(unit.astype(float), (scores * length).astype(float), f"nmf ({negative})", min(1.0, left))


def pca_directions(activations: Shaped[np.ndarray, "item width"], n_components: int = 64) -> Directions:
    """Principal directions of the centred activations; signs such that the largest loading is positive."""
    x = _finite(activations)
    centred = x - x.mean(0)
    _, _, vectors = np.linalg.svd(centred, full_matrices=False)
    vectors = vectors[: min(n_components, *x.shape)]
    vectors = vectors * np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(1)])[:, None]
    scores = centred @ vectors.T
    energy = float(np.sum(centred**2))
    left = max(0.0, 1 - float(np.sum(scores**2)) / energy) if energy > 0 else 0.0
    return Directions(vectors, scores, "pca", left)


def cosine_histograms(
    activations: Shaped[np.ndarray, "item width"],
    directions: Float[np.ndarray, "direction width"],
    labels: Int[np.ndarray, " item"],
    n_bins: int = 40,
) -> tuple[Float[np.ndarray, " edge"], Int[np.ndarray, "direction group bin"]]:
    """How far do items point along each direction, cluster by cluster? Histogram of cosines over [-1, 1].

    Returns:
        Bin edges, and counts per direction, group (row 0: noise, row c + 1: cluster c) and bin. An all-zero activation
        has no angle and is counted nowhere.
    """
    x = _finite(activations)
    length = np.linalg.norm(x, axis=1)
    kept = length > 0
    cosines = (x[kept] / length[kept, None]) @ directions.T
    edges = np.linspace(-1, 1, n_bins + 1)
    place = np.clip(np.digitize(cosines, edges) - 1, 0, n_bins - 1)
    n_groups = int(labels.max(initial=-1)) + 2
    counts = np.zeros((directions.shape[0], n_groups, n_bins), dtype=np.int64)
    for d in range(len(directions)):
        np.add.at(counts[d], (labels[kept] + 1, place[:, d]), 1)
    return edges, counts


def top_items(scores: Float[np.ndarray, "item direction"], n_top: int) -> list[np.ndarray]:
    """The strongest items of each direction, positive scores only, strongest first."""
    order = np.argsort(-scores, axis=0, kind="stable")[:n_top]
    return [order[:, d][scores[order[:, d], d] > 0] for d in range(scores.shape[1])]


def clusters_crossed(top: list[np.ndarray], labels: Int[np.ndarray, " item"], least: int = 2) -> list[dict[str, Any]]:
    """Over how many clusters do a direction's strongest items spread?

    Returns one row per direction: `n_clusters` with at least `least` of the items, `effective_clusters`
    (2 ** entropy over clusters, noise left out; 0 where all are noise), `noise_share`, `largest_share` (of the items
    that are in a cluster), `n_items`.
    """
    rows = []
    for members in top:
        of = labels[members]
        inside = of[of >= 0]
        counts = np.bincount(inside) if len(inside) else np.zeros(1, dtype=np.int64)
        share = counts[counts > 0] / max(1, counts.sum())
        rows.append(
            {
                "n_items": len(members),
                "n_clusters": int((counts >= least).sum()),
                "effective_clusters": float(2 ** -(share * np.log2(share)).sum()) if len(share) else 0.0,
                "largest_share": float(share.max()) if len(share) else None,
                "noise_share": float((of < 0).mean()) if len(of) else None,
            }
        )
    return rows


@dataclass(frozen=True)
class SpreadColumn:
    """A column whose strongest items lie in several clusters; items stand cluster by cluster, those in none last."""

    column: int
    n_clusters: int
    effective_clusters: float
    items: Int[np.ndarray, " item"]


def most_spread(
    values: Float[np.ndarray, "item column"], labels: Int[np.ndarray, " item"], *, n_top: int, shown: int
) -> list[SpreadColumn]:
    """The columns whose strongest items spread over most clusters, most first; at most so many, each over two or more.

    Only positive values are strong: a column that is never above 0 is left out.
    """
    top = top_items(values, n_top)
    spreads = clusters_crossed(top, labels)
    order = sorted(range(len(top)), key=lambda column: (-spreads[column]["effective_clusters"], column))
    last = np.where(labels < 0, labels.max(initial=-1) + 1, labels)
    return [
        SpreadColumn(
            column, spreads[column]["n_clusters"], spreads[column]["effective_clusters"],
            top[column][np.argsort(last[top[column]], kind="stable")],
        )
        for column in [one for one in order if spreads[one]["n_clusters"] > 1][:shown]
    ]  # fmt: skip


def overlap_above_chance(
    top: list[np.ndarray], labels: Int[np.ndarray, " item"], *, least: int = 2, n_draws: int = 1000, seed: int = 0
) -> tuple[Score, float]:
    """Do the strongest items of these directions meet several clusters more often than random items do?

    share of directions with two or more clusters (each holding at least `least` of the items) minus the share of random
    sets *of the same size* that do, in [-1, 1]; the interval resamples directions (exact binomial where all agree).
    Where most items are in no cluster random sets hardly meet two, where few are they nearly always do: only the
    difference can be read.

    Returns:
        the difference, and the share of random sets.

    Raises:
        UserError: a set larger than the items.
    """
    if not top:
        return Score.undefined("no direction to judge", 0), float("nan")
    labels = np.asarray(labels)
    largest = max(len(members) for members in top)
    if largest > len(labels):
        raise UserError(f"expected sets of at most {len(labels)} items; got {largest}; are labels per item?")
    generator = np.random.default_rng(seed)
    chance: dict[int, float] = {}
    for size in sorted({len(members) for members in top}):
        drawn = [generator.choice(len(labels), size, replace=False) for _ in range(n_draws)]
        chance[size] = float(np.mean([row["n_clusters"] >= 2 for row in clusters_crossed(drawn, labels, least)]))
    several = np.array([row["n_clusters"] >= 2 for row in clusters_crossed(top, labels, least)], dtype=float)
    null = np.array([chance[len(members)] for members in top])
    share, mean = bootstrap_share(several, minimum_groups=10, seed=seed), float(null.mean())
    if several.min() != several.max():
        return bootstrap_mean(several - null, minimum_groups=10, seed=seed), mean
    low, high = (None if end is None else end - mean for end in (share.low, share.high))
    return Score(float(several.mean()) - mean, low, high, len(top), interval_reason=share.interval_reason), mean


def _finite(activations: np.ndarray) -> np.ndarray:
    x = np.asarray(activations, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise UserError(f"expected activations as [item, width]; got shape {x.shape}; were all tokens left out?")
    if not np.isfinite(x).all():
        raise UserError(f"{int((~np.isfinite(x)).any(1).sum())} items hold NaN or infinity; check the activations")
    return x
