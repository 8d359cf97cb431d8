"""One fixed place of every image, site by site: its clusters (codes, activations, codes of several sites together), and
how regions flow from each site into the next.

The recipe of Black et al. (2022) for InceptionV1: one place an image, so that no two items share an image. Here the
middle one.

Axis glossary: ``image``, ``channel``, ``site``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.clustering.clusters import Clusters, cluster_codes, cluster_points
from eval.measures.codes.polytope import CodeMap, CodePart, SplineCodes
from eval.measures.codes.region_flow import flow_between
from eval.measures.geometry.piecewise_linear import Program, Step, own_rule, walk
from vision_codes.lenses.polytopes.density import batches
from vision_codes.lenses.polytopes.panel_rows import FixedPosition, FlowRow, PositionRow
from vision_codes.lenses.polytopes.patches import Places, judged_clusters


@dataclass(frozen=True)
class MiddlePlaces:
    """The middle place of every image at one site: before the switch and after it, ``[image channel]``."""

    step: Step
    before: Float[np.ndarray, "image channel"]
    after: Float[np.ndarray, "image channel"]

    @property
    def part(self) -> CodePart:
        assert self.step.switch is not None
        return CodePart(self.step.site, "channels", (self.before.shape[1],), self.step.switch.thresholds)


def middle_places(program: Program, x: Tensor, sites: Sequence[str], batch_size: int = 8) -> list[MiddlePlaces]:
    """What stands at the middle place of every image, at each of the sites, in forward order.

    Raises `UserError` for an unknown site and for one that is no convolutional switch.
    """
    for site in sites:
        known_name(site, [step.site for step in program.sites], "site")
    chosen = [step for step in program.sites if step.site in sites]
    wrong = [step.site for step in chosen if step.switch is None or len(step.shape) != 4]
    if wrong:
        raise UserError(f"expected convolutional switches; got {wrong[0]!r}; name others")
    parts: dict[str, list[Tensor]] = {step.name: [] for step in chosen}
    with torch.no_grad():
        for batch in batches(x, batch_size):
            missing = set(parts)
            for step, z in walk(program, batch):
                if step.name in missing:
                    grid = rearrange(z, "image one channel row column -> (image one) channel row column")
                    parts[step.name].append(grid[:, :, grid.shape[2] // 2, grid.shape[3] // 2])
                    missing.discard(step.name)
                if not missing:
                    break
    stacked = {name: torch.cat(values) for name, values in parts.items()}
    return [
        MiddlePlaces(step, stacked[step.name].double().numpy(), own_rule(step, stacked[step.name]).double().numpy())
        for step in chosen
    ]


def fixed_position(
    program: Program, x: Tensor, labels: Int[np.ndarray, " image"], sites: Sequence[str], *, network: str = "trained",
    min_cluster_size: int = 8, batch_size: int = 8, seed: int = 0,
) -> FixedPosition:  # fmt: skip
    """Clusters of the middle place of every image at each site, by code and by activation, and of all sites' codes
    together; flow of the clusters, and of the nearest neighbours, from each site to the next."""
    places = middle_places(program, x, sites, batch_size)
    size = {"min_cluster_size": min_cluster_size, "min_samples": min(5, min_cluster_size), "method": "leaf"}
    whole = _codes(places, program.name)
    rows, grouped, apart = [], [], []
    none = np.zeros(len(labels), dtype=np.int64)

    def add(of: str, site: str, found: Clusters) -> None:
        where = Places(site, np.arange(len(labels)), none, none, (1, 1))
        judged = judged_clusters(found, where, labels, seed=seed)
        counts = (judged.n_vectors, judged.n_clusters, judged.noise_share, judged.below_null)
        rows.append(PositionRow(network, of, site, *counts, judged.reason))

    for place in places:
        codes = _codes([place], program.name)
        grouped.append(cluster_codes(codes, **size))
        apart.append(codes.hamming_matrix())
        add("codes", place.step.site, grouped[-1])
        add("activations", place.step.site, cluster_points(place.after, **size))
    if len(places) > 1:
        add("codes of all sites", "all", cluster_codes(whole, **size))
    flow = [
        FlowRow(
            network, a.step.site, b.step.site,
            flow_between(grouped[i], grouped[i + 1], apart[i : i + 2], items="images", seed=seed),
        )
        for i, (a, b) in enumerate(pairwise(places))
    ]  # fmt: skip
    return FixedPosition(tuple(rows), tuple(flow))


def _codes(places: Sequence[MiddlePlaces], name: str) -> SplineCodes:
    parts = tuple(place.part for place in places)
    values = {place.step.site: torch.as_tensor(place.before) for place in places}
    return SplineCodes.hard(CodeMap(parts, parts[0].layer, name), values)
