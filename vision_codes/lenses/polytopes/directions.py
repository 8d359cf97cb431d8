"""Directions and single channels against the clusters of codes: does one of them cross several polytope regions?

Prediction 1 [Black et al. 2022]: what looks polysemantic, seen along a direction, falls apart into polytope regions of
one meaning each. So the activations of a convolutional site are factored (NMF), and the strongest places of each
direction, and of each channel, are looked up among the clusters of codes of the same places.

Axis glossary: ``vector`` places of images, ``channel``, ``direction``, ``cluster``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch

from eval.measures.clustering.clusters import Clusters
from eval.measures.dictionaries.directions import (
    clusters_crossed,
    cosine_histograms,
    most_spread,
    nmf_directions,
    overlap_above_chance,
    top_items,
)
from eval.scores import Score
from vision_codes.lenses.polytopes.panel_rows import DirectionRow, SiteDirections, UnitRow
from vision_codes.lenses.polytopes.patches import ChannelVectors, class_entropy

TOP_ITEMS = 20
SHOWN_UNITS = 6
LEAST_CLUSTERS = 3
"""Clusters that a site needs before crossing them can be told from chance."""


@dataclass(frozen=True)
class Crossed:
    """What the figures draw: histograms of cosines by cluster (group 0: no cluster) of every direction."""

    edges: np.ndarray
    counts: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def site_directions(
    vectors: ChannelVectors, found: Clusters, labels: np.ndarray, *, count: int, network: str = "trained", seed: int = 0
) -> tuple[SiteDirections, Crossed]:
    """NMF directions and the channels that cross most clusters, with histograms of cosines by cluster.

    labels: class of every image. Channels without a positive activation have no strongest place and are left out.
    """
    active = _activations(vectors)
    empty = Crossed(np.linspace(-1, 1, 2), np.zeros((0, found.n_clusters + 1, 1), dtype=np.int64))
    if not active.max(initial=0) > 0:
        nothing = Score.undefined("no channel is active at any place drawn", 0)
        return SiteDirections(network, vectors.site, found.n_clusters, None, nothing, None), empty
    fitted = nmf_directions(active, count, seed=seed)
    top = top_items(fitted.scores, TOP_ITEMS)
    overlap, chance = _overlap(found, top, seed)
    classes = labels[vectors.image]
    rows = tuple(
        DirectionRow(**spread, class_entropy_bits=_entropy(classes[items]), top_class=_most(classes[items]))
        for spread, items in zip(clusters_crossed(top, found.labels), top, strict=True)
    )
    edges, counts = cosine_histograms(active, fitted.vectors, found.labels)
    units = _units(active, found, classes)
    row = SiteDirections(network, vectors.site, found.n_clusters, fitted.unexplained, overlap, chance, rows, units)
    return row, Crossed(edges, counts)


def _activations(vectors: ChannelVectors) -> np.ndarray:
    """Channels after their switch, ``[vector channel]``."""
    return vectors.switch.value(torch.as_tensor(vectors.values)).numpy()


def _overlap(found: Clusters, top: list[np.ndarray], seed: int) -> tuple[Score, float | None]:
    """Share of directions that meet several clusters, above random sets of as many places."""
    if found.n_clusters < LEAST_CLUSTERS:
        reason = f"{found.n_clusters} clusters of codes; overlap needs at least {LEAST_CLUSTERS}"
        return Score.undefined(reason, len(top)), None
    return overlap_above_chance(top, found.labels, seed=seed)


def _units(active: np.ndarray, found: Clusters, classes: np.ndarray) -> tuple[UnitRow, ...]:
    """The channels whose strongest places are spread over most clusters, most first; each with two or more."""
    return tuple(
        UnitRow(
            one.column, one.n_clusters, one.effective_clusters, _entropy(classes[one.items]), one.items,
            found.labels[one.items],
        )
        for one in most_spread(active, found.labels, n_top=TOP_ITEMS, shown=SHOWN_UNITS)
    )  # fmt: skip


def _entropy(classes: np.ndarray) -> float:
    return class_entropy(classes, int(classes.max(initial=0)) + 1)


def _most(classes: np.ndarray) -> int:
    return int(np.bincount(classes).argmax()) if len(classes) else -1
