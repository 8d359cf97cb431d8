"""Activations scaled along their rays from the origin: where do boundaries crowd, and which classes lie beyond?

Prediction 3 [Black et al. 2022, Fig. 7]: a density peak between the origin and the activation, and class changes far
out although few boundaries are left there. Controls: Gaussian noise with the mean, covariance and norms of the real
activations, and four networks without the training.

Axis glossary: ``path`` rays, ``bin`` and ``grid`` of the scale s, where s = 1 is the activation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from eval.measures.codes.ray_peak import ray_peak
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.statistics.resampling import bootstrap_mean, bootstrap_share
from eval.polytope_verdicts import PEAK_MARGIN, Counted
from eval.scores import Score
from vision_codes.lenses.polytopes.paths import Paths, follow
from vision_codes.lenses.polytopes.results import ClassReached, ScalingRow

SCALES = np.linspace(0, 3, 31)
ACTIVATION = 10
"""Where s = 1 stands among the 31 scales."""
NOISE = "matched noise"
"""Name of the arm whose activations are noise and whose network is the trained one."""
NAMED_CLASSES = 12


def scaling(tail: Program, layer: str, activations: Tensor, labels: np.ndarray, count: int, **options: int) -> Paths:
    """From the origin to three times an activation, s in 0..3 (s = 1 is the image), evenly over classes."""
    order = np.argsort(np.concatenate([np.arange((labels == c).sum()) for c in np.unique(labels)]), kind="stable")
    by_class = np.concatenate([np.flatnonzero(labels == c) for c in np.unique(labels)])
    chosen = by_class[order][:count]
    ends = [(1e-3 * activations[i], 3 * activations[i]) for i in chosen]  # at 0 itself a bias-free network is all ties
    return follow(tail, layer, "scaling", ends, labels[chosen], **options)


def settled_rows(measure: Callable[[int], list[ScalingRow]], samples: int, most_samples: int) -> list[ScalingRow]:
    """The rays of one layer, counted with as many samples as their differences need, at most `most_samples`.

    measure: rows of all networks from a number of samples; doubled until the trained network's peak has settled
    against no peak and against every other row (`eval.polytope_verdicts`); exact counts have from the start.
    """
    while True:
        rows = measure(samples)
        if not unsettled(rows) or 2 * samples - 1 > most_samples:
            return rows
        samples = 2 * samples - 1


def unsettled(rows: Sequence[ScalingRow]) -> list[str]:
    """Networks from which the trained one's peak cannot be told with these samples (itself: against no peak)."""
    own, *others = (counted(row) for row in rows)
    if not own.score.is_defined:
        return []
    names = [row.network for row in rows[1:]]
    moving = [] if own.settled_against(PEAK_MARGIN) else [rows[0].network]
    known = [(name, one) for name, one in zip(names, others, strict=True) if one.score.is_defined]
    return moving + [name for name, one in known if not own.settled_against(PEAK_MARGIN, one)]


def counted(row: ScalingRow) -> Counted:
    """The size of a row's peak with what half the samples gave."""
    return Counted(row.prominence, row.prominence_half_samples)


def _log2_ratio(crossings: np.ndarray) -> np.ndarray:
    """log2 of (crossings per unit of s in 0..1) over (in 1..3), ``[path]``; not finite where either is 0."""
    inside, outside = crossings[:, :ACTIVATION].sum(1) / 1.0, crossings[:, ACTIVATION:].sum(1) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log2(inside / outside)


def _mean_ratio(crossings: np.ndarray, seed: int) -> Score:
    ratio = _log2_ratio(crossings)
    if not (defined := np.isfinite(ratio)).any():
        return Score.undefined("no image has crossings on both sides of s = 1: the network is homogeneous here")
    return bootstrap_mean(ratio[defined], minimum_groups=8, seed=seed, method="percentile")


def classes_reached(classes: np.ndarray, names: Sequence[str]) -> tuple[ClassReached, ...]:
    """Which classes are predicted somewhere beyond the activation and not at it? Most frequent first, at most 12.

    classes ``[path grid]``; names of the network's outputs (the number itself where there is no name).
    """
    beyond: dict[int, int] = {}
    for row in classes:
        for one in set(row[ACTIVATION + 1 :].tolist()) - {int(row[ACTIVATION])}:
            beyond[one] = beyond.get(one, 0) + 1
    order = sorted(beyond, key=lambda one: (-beyond[one], one))[:NAMED_CLASSES]
    return tuple(ClassReached(names[one] if one < len(names) else str(one), beyond[one]) for one in order)


def scaling_summary(
    paths: Paths, seed: int = 0, network: str = "trained", names: Sequence[str] = (), confidence: float = 0.95
) -> ScalingRow:
    """Where along the rays does density peak, is it a peak at all, and which classes lie beyond? [PL prediction 3]

    peak_location, rise, fall, prominence, shape: see `ray_peak`; their intervals have `confidence`, which the caller
    raises where several layers are judged together. The values from half the samples along each path tell a sampled
    count that has settled from one that has not. log2_peak: log2 of (crossings per unit of s in 0..1) over (in 1..3),
    mean over images: it rewards decay as well as a peak. changed: share of images whose class at s = 3 is not that at
    s = 1. peak_at: s of the highest single bin.
    """
    changed = bootstrap_share(
        (paths.classes[:, ACTIVATION] != paths.classes[:, -1]).astype(float),
        minimum_groups=8, seed=seed, method="percentile", confidence=confidence,
    )  # fmt: skip
    total = paths.crossings.sum(0)
    changes = paths.class_changes()
    ray = ray_peak(paths.crossings, SCALES, seed=seed, confidence=confidence)
    half = ray_peak(paths.halved, SCALES, seed=seed, n_resamples=8)
    return ScalingRow(
        layer=paths.layer,
        counting=paths.counting,
        n_images=len(paths.crossings),
        log2_peak=_mean_ratio(paths.crossings, seed),
        class_changed_by_3=changed,
        crossings=total,
        crossings_per_path=float(paths.crossings.sum() / len(paths.crossings)),
        peak_at=float((SCALES[:-1] + 0.05)[total.argmax()]) if total.sum() else None,
        peak_at_reason=None if total.sum() else "no crossing at all",
        peak_location=ray.location,
        rise=ray.rise,
        fall=ray.fall,
        prominence=ray.prominence,
        shape=ray.shape,
        n_samples=paths.samples,
        peak_location_half_samples=half.location.value,
        prominence_half_samples=half.prominence.value,
        log2_peak_half_samples=_mean_ratio(paths.halved, seed).value,
        share_of_crossings_beyond_1=float(total[ACTIVATION:].sum() / total.sum()) if total.sum() else None,
        share_of_class_changes_beyond_1=float(changes[:, ACTIVATION:].sum() / changes.sum()) if changes.any() else None,
        class_change_rate=changes.mean(0),
        classes_beyond=classes_reached(paths.classes, names),
        network=network,
    )
