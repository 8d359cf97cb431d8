"""Neurons across clusters: the one that is strong in two planted clusters is shown with both."""

from __future__ import annotations

import numpy as np

from eval.measures.clustering.clusters import cluster_codes
from llm_codes.lenses.polytopes.neurons import neurons_across_clusters
from llm_codes.lenses.polytopes.samples import TokenSample
from tests.llm_codes.lenses.polytopes.planted_codes import CLUSTERING, planted


def test_the_neuron_of_two_clusters_is_shown_with_its_tokens() -> None:
    groups = np.repeat(np.arange(3), 20)
    codes = planted(groups, 0)
    found = cluster_codes(codes, **CLUSTERING)
    hidden = np.random.default_rng(0).normal(size=(60, 8)) * 0.01 - 1
    hidden[groups != 2, 5] = 3 + np.arange(40) % 7
    nothing = np.zeros(60, dtype=np.int64)
    strings = [f"w{i}" for i in range(60)]
    sample = TokenSample(nothing, nothing, nothing, nothing, nothing, {}, ["before"] * 60, strings)
    (row,) = neurons_across_clusters(hidden, [3, 4], sample, found)
    assert (row.layer, row.unit, row.n_clusters) == (4, 1, 2) and len(row.tokens) == 20
    clusters = [one.cluster for one in row.tokens]
    assert clusters == sorted(clusters) and all(one.activation >= 3 for one in row.tokens)
