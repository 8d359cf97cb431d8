"""Along straight paths in activation space: what is crossed between two images (`rays`: on the way from the origin).

Axis glossary: ``path``, ``bin`` of the path's parameter, ``grid`` points where the class is read off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eval.measures.geometry.crossings import Crossings
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.geometry.sampled_segments import coarsened, sampled_crossings
from eval.measures.geometry.segments import crossings_of_segments
from vision_codes.lenses.polytopes.results import InterpolationRow


@dataclass(frozen=True)
class Paths:
    """Crossings along paths of one kind at one layer.

    crossings ``[path bin]``; halved ``[path bin]``: as half the samples would have counted them (exact counts: the
    same), which tells whether a sampled count has settled; classes ``[path grid]`` predicted along; length ``[path]``;
    counting: exact, or sampled lower bound from `samples` places (exact counts have none).
    group ``[path]``: class of the (first) image, for resampling.
    """

    layer: str
    kind: str
    counting: str
    samples: int | None
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
    tail: Program, ends: Sequence[tuple[Tensor, Tensor]], *, exact_up_to: int, samples: int
) -> list[tuple[Crossings, Crossings]]:
    """For each path: exact, all paths together, where few enough units, or a single site, lie ahead; else a sampled
    lower bound from twice as many steps as `samples` has, and beside it what `samples` alone would have found."""
    smooth = any(step.kind == "smooth" for step in tail.sites)
    if not smooth and (len(tail.sites) == 1 or tail.n_units <= exact_up_to):
        if not ends:
            return []
        starts, stops = (torch.stack(side) for side in zip(*ends, strict=True))
        return [(one, one) for one in crossings_of_segments(tail, starts, stops, max_values=2**25)]
    fine = (sampled_crossings(tail, start, end, n_samples=2 * samples - 1, batch_size=8) for start, end in ends)
    return [(one, coarsened(one, samples)) for one in fine]


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
    for (start, end), (found, coarse) in zip(ends, count_along(tail, ends, **options), strict=True):
        counting = found.counting
        crossings.append(found.histogram(edges))
        halved.append(coarse.histogram(edges))
        lengths.append(found.length)
        classes.append(predicted(tail, start, end, edges))
    shape = (len(ends), len(edges) - 1)
    counts, fewer = (np.array(rows, dtype=np.int64).reshape(shape) for rows in (crossings, halved))
    read = np.array(classes, dtype=np.int64).reshape(len(ends), len(edges))
    samples = None if counting == "exact" else 2 * options["samples"] - 1
    return Paths(layer, kind, counting, samples, counts, fewer, read, np.array(lengths, dtype=float), group)


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
