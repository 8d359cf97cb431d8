"""Along straight paths in activation space: between images, and from the origin through an activation and beyond.

Axis glossary: ``path``, ``bin`` of the path's parameter, ``grid`` points where the class is read off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eval.measures.codes.ray_peak import ray_peak
from eval.measures.geometry.crossings import Crossings
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.geometry.sampled_segments import coarsened, sampled_crossings
from eval.measures.geometry.segments import segment_crossings
from eval.measures.statistics.resampling import bootstrap_mean, bootstrap_share
from eval.scores import Score
from vision_codes.lenses.polytopes.results import InterpolationRow, ScalingRow

SCALES = np.linspace(0, 3, 31)


@dataclass(frozen=True)
class Paths:
    """Crossings along paths of one kind at one layer.

    crossings ``[path bin]``; halved ``[path bin]``: as half the samples would have counted them (exact counts: the
    same), which tells whether a sampled count has settled; classes ``[path grid]`` predicted along; length ``[path]``;
    counting: exact or sampled.
    group ``[path]``: class of the (first) image, for resampling.
    """

    layer: str
    kind: str
    counting: str
    crossings: np.ndarray
    halved: np.ndarray
    classes: np.ndarray
    length: np.ndarray
    group: np.ndarray

    @property
    def density(self) -> np.ndarray:
        """Crossings per unit length, ``[path]``; NaN for a path of length zero."""
        total = self.crossings.sum(1).astype(float)
        return np.divide(total, self.length, out=np.full(len(total), np.nan), where=self.length > 0)

    def class_changes(self) -> np.ndarray:
        """Where the predicted class changes, ``[path grid - 1]`` bool."""
        return self.classes[:, 1:] != self.classes[:, :-1]


def count_along(
    tail: Program, start: Tensor, end: Tensor, *, exact_up_to: int, samples: int
) -> tuple[Crossings, Crossings]:
    """Exact where few enough units, or a single site, lie ahead; else a sampled lower bound from twice as many steps as
    `samples` has, and beside it what `samples` alone would have found."""
    smooth = any(step.kind == "smooth" for step in tail.sites)
    if not smooth and (len(tail.sites) == 1 or tail.n_units <= exact_up_to):
        exact = segment_crossings(tail, start, end, max_values=2**25)
        return exact, exact
    fine = sampled_crossings(tail, start, end, n_samples=2 * samples - 1, batch_size=8)
    return fine, coarsened(fine, samples)


def predicted(tail: Program, start: Tensor, end: Tensor, t: np.ndarray, batch_size: int = 8) -> np.ndarray:
    """Class predicted at places of a path, ``[grid]``."""
    places = torch.as_tensor(t, dtype=start.dtype).reshape([-1] + [1] * start.dim())
    points = torch.lerp(start, end, places)
    with torch.no_grad():
        return torch.cat(
            [tail(points[i : i + batch_size]).argmax(1) for i in range(0, len(points), batch_size)]
        ).numpy()


def follow(
    tail: Program, layer: str, kind: str, ends: list[tuple[Tensor, Tensor]], group: np.ndarray, **options: int
) -> Paths:
    """Count crossings in 30 bins and read the class at 31 places along every path."""
    edges = np.linspace(0, 1, 31)
    crossings, halved, classes, lengths, counting = [], [], [], [], "exact"
    for start, end in ends:
        found, coarse = count_along(tail, start, end, **options)
        counting = found.counting
        crossings.append(found.histogram(edges))
        halved.append(coarse.histogram(edges))
        lengths.append(found.length)
        classes.append(predicted(tail, start, end, edges))
    shape = (len(ends), len(edges) - 1)
    counts, fewer = (np.array(rows, dtype=np.int64).reshape(shape) for rows in (crossings, halved))
    read = np.array(classes, dtype=np.int64).reshape(len(ends), len(edges))
    return Paths(layer, kind, counting, counts, fewer, read, np.array(lengths, dtype=float), group)


def interpolation(
    tail: Program, layer: str, activations: Tensor, labels: np.ndarray, pairs: int, seed: int, **options: int
) -> dict[str, Paths]:
    """`pairs` paths between images of one class and of two classes; none where no class has two images."""
    generator = np.random.default_rng(seed)
    out = {}
    for kind in ("intra", "inter"):
        alike = labels[:, None] == labels[None]
        partner = (alike if kind == "intra" else ~alike) & ~np.eye(len(labels), dtype=bool)
        order = generator.permutation(len(labels))
        order = order[partner[order].any(1)]
        firsts = np.resize(order, pairs) if len(order) else order
        chosen = [(int(first), int(generator.choice(np.flatnonzero(partner[first])))) for first in firsts]
        ends = [(activations[a], activations[b]) for a, b in chosen]
        out[kind] = follow(tail, layer, kind, ends, labels[[a for a, _ in chosen]], **options)
    return out


def interpolation_summary(paths: Paths) -> InterpolationRow:
    """Mean boundaries per unit length over paths of one kind, its standard error, and the mean per bin.

    Undefined with `reason` where there is no path (no class with two images); the error needs two paths.
    """
    density = paths.density[np.isfinite(paths.density)]
    none = "no class has two images" if paths.kind == "intra" else "there is one class only"
    reason = None if len(density) else (none if not len(paths.length) else "every path has length zero")
    return InterpolationRow(
        layer=paths.layer,
        pairs=paths.kind,
        counting=paths.counting,
        n_paths=len(paths.length),
        density=float(density.mean()) if len(density) else None,
        density_se=float(density.std(ddof=1) / len(density) ** 0.5) if len(density) > 1 else None,
        crossings=paths.crossings.mean(0) if len(paths.length) else None,
        class_changes=float(paths.class_changes().sum(1).mean()) if len(paths.length) else None,
        reason=reason,
    )


def scaling(tail: Program, layer: str, activations: Tensor, labels: np.ndarray, count: int, **options: int) -> Paths:
    """From the origin to three times an activation, s in 0..3 (s = 1 is the image), evenly over classes."""
    order = np.argsort(np.concatenate([np.arange((labels == c).sum()) for c in np.unique(labels)]), kind="stable")
    by_class = np.concatenate([np.flatnonzero(labels == c) for c in np.unique(labels)])
    chosen = by_class[order][:count]
    ends = [(1e-3 * activations[i], 3 * activations[i]) for i in chosen]  # at 0 itself a bias-free network is all ties
    return follow(tail, layer, "scaling", ends, labels[chosen], **options)


def _log2_peak(crossings: np.ndarray) -> np.ndarray:
    """log2 of (crossings per unit of s in 0..1) over (in 1..3), ``[path]``; not finite where either is 0."""
    inside, outside = crossings[:, :10].sum(1) / 1.0, crossings[:, 10:].sum(1) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log2(inside / outside)


def scaling_summary(paths: Paths, seed: int = 0, network: str = "trained") -> ScalingRow:
    """Is there a density peak between the activation and the origin, and do classes change beyond it? [PL pred. 3]

    peak: log2 of (crossings per unit of s in 0..1) over (in 1..3), mean over images with a 95% interval; undefined for
    images without crossings. changed: share of images whose class at s = 3 is not that at s = 1.
    early_share: share of all crossings in 0..1. peak_at: s of the highest bin. peak_location, rise, fall, shape: is it
    a peak, and where, or decay only (`ray_peak`). log2_peak_half_samples: from half as many samples along each path,
    to tell a sampled count that has settled from one that has not.
    """
    ratio, coarse = (_log2_peak(counts) for counts in (paths.crossings, paths.halved))
    defined = np.isfinite(ratio)
    if defined.any():
        peak = bootstrap_mean(ratio[defined], minimum_groups=8, seed=seed, method="percentile")
    else:
        peak = Score.undefined("no image has crossings on both sides of s = 1: the network is homogeneous here")
    changed = bootstrap_share(
        (paths.classes[:, 10] != paths.classes[:, -1]).astype(float), minimum_groups=8, seed=seed, method="percentile"
    )
    total = paths.crossings.sum(0)
    changes = paths.class_changes()
    beyond = float(changes[:, 10:].sum() / changes.sum()) if changes.any() else None
    ray = ray_peak(paths.crossings, SCALES, seed=seed)
    return ScalingRow(
        layer=paths.layer,
        counting=paths.counting,
        n_images=len(paths.crossings),
        log2_peak=peak,
        class_changed_by_3=changed,
        crossings=total,
        crossings_per_path=float(paths.crossings.sum() / len(paths.crossings)),
        peak_at=float((SCALES[:-1] + 0.05)[total.argmax()]) if total.sum() else None,
        peak_at_reason=None if total.sum() else "no crossing at all",
        peak_location=ray.location,
        rise=ray.rise,
        fall=ray.fall,
        shape=ray.shape,
        log2_peak_half_samples=float(coarse[np.isfinite(coarse)].mean()) if np.isfinite(coarse).any() else None,
        share_of_crossings_beyond_1=float(total[10:].sum() / total.sum()) if total.sum() else None,
        share_of_class_changes_beyond_1=beyond,
        class_change_rate=changes.mean(0),
        network=network,
    )
