"""Exact slices of a network: through three images in pixel space, or through three activations of a late layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eval.measures.geometry.piecewise_linear import Program, code_of
from eval.measures.geometry.planes import Plane, plane_through
from eval.measures.geometry.sampled_segments import sampled_crossings
from eval.measures.geometry.slices import Slice, plane_slice
from vision_codes.lenses.polytopes.results import SliceFacts


def fitting_window(program: Program, plane: Plane, centre: np.ndarray, regions: int) -> Plane:
    """The plane zoomed around `centre` to a window of about `regions` regions.

    n boundaries across a diagonal make about n^2 / 3 regions; boundaries thin out in proportion to the window, so two
    corrections by sampled counts suffice.
    """
    target = (3 * regions) ** 0.5
    middle = (float(centre[0]), float(centre[1]))
    window = plane.zoomed(1.0, middle)
    for _ in range(3):
        low_u, high_u, low_v, high_v = window.extent
        corners = window.points(np.array([[low_u, low_v], [high_u, high_v], [low_u, high_v], [high_u, low_v]]))
        exact = program.to(torch.float64)
        counts = [
            sampled_crossings(exact, corners[i], corners[i + 1], n_samples=65, batch_size=8).count for i in (0, 2)
        ]
        found = max(1.0, float(np.mean(counts)))
        if found <= target * 1.2 and window is not plane:
            break
        window = window.zoomed(min(1.0, target / found), middle)
    return window


def image_slice(program: Program, points: Tensor, *, regions: int) -> tuple[Slice, np.ndarray, SliceFacts]:
    """A slice through three points of the program's input space, with its numbers.

    The whole triangle where it fits, else a window around its middle. The facts say which share of the triangle's
    window is shown, whether the slice is complete, how well areas add up, and whether the centroid codes are distinct.
    """
    plane, corners = plane_through(points, margin=0.15)
    window = fitting_window(program, plane, corners.mean(0), regions)
    exact = program.to(torch.float64)
    with torch.no_grad():
        classes = exact(plane.points(corners)).argmax(1)
    readout = torch.nn.functional.one_hot(classes, int(torch.Size(program.output_shape).numel())).double()
    found = plane_slice(program, window, max_regions=10 * regions, memory_values=2**24, readout=readout)
    checked = np.arange(0, found.n_regions, max(1, found.n_regions // 2000))
    codes = []
    with torch.no_grad():
        for start in range(0, len(checked), 32):
            codes.append(code_of(exact, window.points(found.centroid[checked[start : start + 32]])))
    distinct = len(torch.unique(torch.cat(codes), dim=0)) if codes else 0
    facts = SliceFacts(
        n_regions=found.n_regions,
        complete=found.complete,
        covered_share=found.covered,
        classes_of_the_three=classes.numpy(),
        window_share=window.area / plane.area,
        window_width=window.extent[1] - window.extent[0],
        relative_area_error=abs(found.covered - 1) if found.complete else None,
        centroid_codes_checked=len(checked),
        centroid_codes_distinct=distinct,
        boundaries={site: len(cuts) for site, cuts in found.boundaries.items() if len(cuts)},
    )
    return found, corners, facts


def three_classes(labels: np.ndarray, seed: int) -> list[int]:
    """The first image of each of three classes drawn by seed (fewer where there are fewer classes)."""
    drawn = np.random.default_rng(seed).permutation(np.unique(labels))[:3]
    return [int(np.flatnonzero(labels == label)[0]) for label in drawn]


def slice_after(
    program: Program, layer: str | None, x: Tensor, *, regions: int
) -> tuple[Slice, np.ndarray, SliceFacts]:
    """`image_slice` of what follows a layer, through the activations of three images there (None: of all, pixels)."""
    if layer is None:
        return image_slice(program, x, regions=regions)
    with torch.no_grad():
        activations = program.values_at(x, [layer])[layer]
    return image_slice(program.tail(layer), activations, regions=regions)
