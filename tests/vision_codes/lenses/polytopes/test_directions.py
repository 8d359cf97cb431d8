"""Directions and channels against planted clusters of codes: which cross several, and what the histograms hold."""

from __future__ import annotations

import numpy as np
import torch

from eval.measures.clustering.clusters import Clusters, cluster_codes
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes
from eval.measures.geometry.switches import Switch
from vision_codes.lenses.polytopes.directions import site_directions
from vision_codes.lenses.polytopes.patches import ChannelVectors

RELU = Switch((0.0,), (0.0, 1.0), (0.0, 0.0))
PER_CLUSTER, CLUSTERS, EACH = 40, 4, 8


def planted() -> tuple[ChannelVectors, Clusters, np.ndarray]:
    """Four clusters with eight channels of their own; channel 32 is strong in two of them, channel 33 never."""
    generator = np.random.default_rng(0)
    of = np.repeat(np.arange(CLUSTERS), PER_CLUSTER)
    z = -np.ones((len(of), CLUSTERS * EACH + 2))
    for cluster in range(CLUSTERS):
        rows = np.flatnonzero(of == cluster)
        z[np.ix_(rows, np.arange(EACH) + EACH * cluster)] = 1 + 0.1 * generator.random((PER_CLUSTER, EACH))
    z[np.isin(of, [0, 1]), -2] = 5 + generator.random(2 * PER_CLUSTER)
    code_map = CodeMap((CodePart("s", "channels", (z.shape[1],), (0.0,)),), "s", "planted")
    codes = SplineCodes.hard(code_map, {"s": torch.as_tensor(z)})
    image = np.arange(len(of)) // 8
    where = ("s", image, np.zeros_like(image), np.zeros_like(image), (1, 1))
    vectors = ChannelVectors(*where, codes, z, RELU)
    return vectors, cluster_codes(codes, min_cluster_size=10, min_samples=5, method="leaf"), of


def test_the_channel_of_two_clusters_is_shown_with_both() -> None:
    vectors, found, _ = planted()
    assert found.n_clusters == CLUSTERS
    row, crossed = site_directions(vectors, found, np.arange(20) % 5, count=6)
    (unit,) = row.units
    assert unit.unit == CLUSTERS * EACH and unit.n_clusters == 2 and 1.5 < unit.effective_clusters <= 2
    assert (np.diff(unit.clusters) >= 0).all() and (found.labels[unit.members] == unit.clusters).all()
    assert len(row.directions) == 6 and row.by_chance is not None and row.overlap.is_defined
    assert crossed.counts.shape == (6, CLUSTERS + 1, 40)
    assert crossed.counts.sum((1, 2)).tolist() == [PER_CLUSTER * CLUSTERS] * 6
    assert row.unexplained is not None and row.unexplained < 0.1


def test_two_clusters_are_too_few_and_dead_channels_say_so() -> None:
    vectors, found, _ = planted()
    half = np.arange(2 * PER_CLUSTER)
    codes = vectors.codes[half]
    short = ChannelVectors(
        "s", vectors.image[half], vectors.row[half], vectors.column[half], (1, 1), codes, vectors.values[half], RELU
    )
    two = cluster_codes(codes, min_cluster_size=10, min_samples=5, method="leaf")
    row, _ = site_directions(short, two, np.zeros(20, dtype=int), count=3)
    assert row.overlap.reason == "2 clusters of codes; overlap needs at least 3" and row.by_chance is None
    dead = ChannelVectors(*(getattr(vectors, n) for n in ("site", "image", "row", "column", "grid", "codes")),
                          -np.ones_like(vectors.values), RELU)  # fmt: skip
    row, crossed = site_directions(dead, found, np.zeros(20, dtype=int), count=3)
    assert row.overlap.reason == "no channel is active at any place drawn" and not row.directions
    assert crossed.counts.shape == (0, CLUSTERS + 1, 1)
