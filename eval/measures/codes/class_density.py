"""Are there more polytope boundaries between classes than within them? [Black et al. 2022, Fig. 6]

Axis glossary: ``item`` images, ``class``, ``layer``, ``resample``. Pairs share images and images share classes,
so pairs are never resampled as if independent: intervals resample classes, p-values shuffle the labels of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap, permutation_p
from eval.scores import Score

MINIMUM_CLASSES = 8
"""With fewer classes an interval resampled over classes is undefined."""
TABLE_CELLS = 2_000_000
"""Pairs compared at once for label permutations: 16 MB."""


@dataclass(frozen=True)
class ClassDensity:
    """Density within and between classes at one layer.

    intra, inter: mean boundaries per unit distance; ratio: inter / intra (above 1: boundaries mark classes), with a
    95% interval over classes; p: two-sided label permutation of the log ratio. reason: pairs left out, if any.
    """

    intra: Score
    inter: Score
    ratio: Score
    p: float
    reason: str | None


def pair_density(
    distance: Int[np.ndarray, "item item"], length: Float[np.ndarray, "item item"]
) -> tuple[Float[np.ndarray, "item item"], str | None]:
    """Code distance / Euclidean distance of every pair; NaN on the diagonal and for coincident items."""
    distance, length = np.asarray(distance, dtype=float), np.asarray(length, dtype=float)
    if distance.shape != length.shape or distance.ndim != 2 or distance.shape[0] != distance.shape[1]:
        raise UserError(f"expected two square matrices; got {distance.shape} and {length.shape}")
    off = ~np.eye(len(distance), dtype=bool)
    coincident = int((off & (length == 0)).sum() // 2)
    value = np.divide(distance, length, out=np.full_like(distance, np.nan), where=off & (length > 0))
    return value, f"{coincident} pairs coincide: no distance to divide by" if coincident else None


def _tables(density: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of defined pairs by class pair, ``[class class]``."""
    classes = np.unique(labels)
    member = (labels[None] == classes[:, None]).astype(float)
    defined = np.isfinite(density)
    return member @ np.where(defined, density, 0.0) @ member.T, member @ defined.astype(float) @ member.T


def _means(sums: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted intra and inter means, ``[resample]``; a class drawn twice is not a pair of classes with itself."""
    between = 1 - np.eye(len(sums))
    with np.errstate(invalid="ignore", divide="ignore"):
        intra = weights @ np.diag(sums) / (weights @ np.diag(counts))
        inter = np.einsum("ra,ab,rb->r", weights, sums * between, weights) / np.einsum(
            "ra,ab,rb->r", weights, counts * between, weights
        )
    return intra, inter


def check_classes(labels: Int[np.ndarray, " item"]) -> None:
    """Raises `UserError` for labels with no pair within a class, or none between two."""
    classes, sizes = np.unique(labels, return_counts=True)
    if len(classes) < 2 or sizes.max() < 2:
        raise UserError(
            f"expected two classes and two images of one; got {len(classes)} classes of at most {sizes.max()}"
        )


def class_density(
    distance: Int[np.ndarray, "item item"],
    length: Float[np.ndarray, "item item"],
    labels: Int[np.ndarray, " label"],  # one per item: checked below, with a line that says so
    *,
    seed: int = 0,
    n_resamples: int = 2000,
) -> ClassDensity:
    """Is the density between classes above that within them?

    density(x, y) = Hamming / Euclidean; intra = mean over pairs of one class, inter = over pairs of two.
    Range [0, inf).

    Raises:
        UserError: one class only, no class with two items, shapes that do not match.
    """
    labels = np.asarray(labels)
    density, reason = pair_density(distance, length)
    if len(labels) != len(density):
        raise UserError(f"expected one label per item; got {len(labels)} labels for {len(density)} items")
    check_classes(labels)
    sums, counts = _tables(density, labels)
    options = {"seed": seed, "minimum_groups": MINIMUM_CLASSES, "n_resamples": n_resamples, "method": "percentile"}

    def score(pick) -> Score:  # noqa: ANN001
        return bootstrap(lambda w: pick(*_means(sums, counts, w)), len(sums), **options)

    with np.errstate(invalid="ignore", divide="ignore"):  # no boundary at all: the ratio is undefined, with its reason
        ratio = score(lambda a, b: b / a)
    p = permutation_p(partial(_log_ratios, density), labels, seed=seed, n_resamples=400)
    return ClassDensity(score(lambda a, _: a), score(lambda _, b: b), ratio, p, reason)


def _log_ratios(density: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log of inter over intra for every row of labels ``[resample item]``; NaN where one of them is 0 or missing."""
    defined = np.isfinite(density)
    columns = np.stack([np.where(defined, density, 0.0).ravel(), defined.ravel().astype(float)], axis=1)
    rows = max(1, TABLE_CELLS // density.size)
    within = np.concatenate(
        [
            (part[:, :, None] == part[:, None, :]).reshape(len(part), -1).astype(float) @ columns
            for part in (labels[start : start + rows] for start in range(0, len(labels), rows))
        ]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        intra, inter = (part[:, 0] / part[:, 1] for part in (within, columns.sum(0) - within))
        return np.where((intra > 0) & (inter > 0), np.log(inter / intra), np.nan)


def trend_over_layers(
    densities: Float[np.ndarray, "layer item item"], labels: Int[np.ndarray, " item"], *, seed: int = 0
) -> Score:
    """Does the ratio inter / intra grow with depth? Rank correlation of layer and ratio, 95% interval over classes.

    In [-1, 1]; the same resampled classes serve every layer. Undefined for fewer than three layers.
    """
    if len(densities) < 3:
        return Score.undefined(f"{len(densities)} layers; a trend needs at least three")
    tables = [_tables(density, np.asarray(labels)) for density in densities]
    depth = np.arange(len(tables), dtype=float)

    def trend(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.stack([b / a for a, b in (_means(*table, weights) for table in tables)], axis=1)
        ranks = np.where(np.isfinite(ratios).all(1)[:, None], ratios, np.nan).argsort(1).argsort(1).astype(float)  # pyright: ignore
        ranks -= ranks.mean(1, keepdims=True)
        centred = depth - depth.mean()
        value = ranks @ centred / (np.linalg.norm(ranks, axis=1) * np.linalg.norm(centred))
        return np.where(np.isfinite(ratios).all(1), value, np.nan)

    n_classes = len(np.unique(labels))
    return bootstrap(trend, n_classes, minimum_groups=MINIMUM_CLASSES, method="percentile", seed=seed)
