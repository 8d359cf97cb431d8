"""What figures and claims need of a polytope study beside its numbers, and the same as arrays for a run folder.

Axis glossary: ``path``, ``bin``, ``vector``, ``region`` as in `paths`, `patches` and the slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from eval.measures.geometry.planes import Plane
from eval.measures.geometry.slices import Slice
from eval.scores import Score
from vision_codes.lenses.polytopes.patches import Places
from vision_codes.lenses.polytopes.paths import Paths

Arrays = dict[str, np.ndarray]


@dataclass
class Artefacts:
    """What figures and claims need beside the numbers. trends: of the density ratio over layers, by network; cosines,
    unit_places: histograms of NMF directions by cluster (edges, counts) and the places of units' members."""

    places: Places | None = None
    unit_places: Places | None = None
    cosines: tuple[np.ndarray, np.ndarray] | None = None
    interpolations: list[dict[str, Paths]] = field(default_factory=list)
    slices: dict[str, tuple[Slice, np.ndarray]] = field(default_factory=dict)
    hamming: np.ndarray = field(default_factory=lambda: np.empty(0))
    frobenius: np.ndarray = field(default_factory=lambda: np.empty(0))
    trends: dict[str, Score] = field(default_factory=dict)


def paths_as_arrays(kinds: Mapping[str, Paths]) -> Arrays:
    """Paths by kind as arrays named ``<kind>/<field>`` (words too)."""
    named = {f"{kind}/{f.name}": getattr(path, f.name) for kind, path in kinds.items() for f in fields(path)}
    return {name: np.asarray("" if value is None else value) for name, value in named.items()}


def paths_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Paths]:
    """What `paths_as_arrays` was given."""
    kinds = list(dict.fromkeys(name.partition("/")[0] for name in arrays))
    return {kind: Paths(**{f.name: _plain(arrays[f"{kind}/{f.name}"]) for f in fields(Paths)}) for kind in kinds}


def _plain(array: np.ndarray) -> Any:
    if array.ndim:
        return array
    return None if array.dtype.kind == "U" and not array.item() else array.item()


def places_of(arrays: Mapping[str, np.ndarray]) -> Places:
    """What `places_as_arrays` was given."""
    rows, columns = arrays["grid"].tolist()
    return Places(arrays["site"].item(), arrays["image"], arrays["row"], arrays["column"], (rows, columns))


SLICE_ARRAYS = ("vertices", "offsets", "area", "centroid", "values", "slopes")
PLANE_TENSORS = ("origin", "first", "second")


def slice_as_arrays(found: Slice, corners: np.ndarray) -> Arrays:
    """A slice and the places of its three points in it as arrays."""
    sites = list(found.boundaries)
    return {
        "corners": corners,
        "complete": np.asarray(found.complete),
        "extent": np.asarray(found.plane.extent),
        "sites": np.asarray(sites, dtype=np.str_),
        **{name: getattr(found.plane, name).numpy() for name in PLANE_TENSORS},
        **{name: getattr(found, name) for name in SLICE_ARRAYS},
        **{f"boundary/{number}": found.boundaries[site] for number, site in enumerate(sites)},
    }


def slice_of(arrays: Mapping[str, np.ndarray]) -> tuple[Slice, np.ndarray]:
    """What `slice_as_arrays` was given."""
    low_u, high_u, low_v, high_v = arrays["extent"].tolist()
    origin, first, second = (torch.as_tensor(arrays[name]) for name in PLANE_TENSORS)
    boundaries = {site: arrays[f"boundary/{number}"] for number, site in enumerate(arrays["sites"].tolist())}
    found = Slice(
        Plane(origin, first, second, (low_u, high_u, low_v, high_v)),
        **{name: arrays[name] for name in SLICE_ARRAYS},
        complete=bool(arrays["complete"]),
        boundaries=boundaries,
    )
    return found, arrays["corners"]
