"""From one MLP to the next: which regions of tokens split, which merge, and which tokens stay beside each other?

Axis glossary: ``item`` sampled tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from eval.measures.clustering.clusters import cluster_codes
from eval.measures.codes.polytope import SplineCodes
from eval.measures.codes.region_flow import flow_between
from llm_codes.lenses.polytopes.panel_rows import FlowRow

MOST_ITEMS = 2000
"""Tokens, drawn by seed, whose nearest are compared: all pairs of them are measured."""


def flow_by_layer(
    codes: Mapping[int, SplineCodes], clustering: Mapping[str, Any], *, network: str = "trained", seed: int = 0
) -> tuple[FlowRow, ...]:
    """One row for each pair of neighbouring layers. codes: of the same tokens, by layer, in order."""
    found = {layer: cluster_codes(one, **clustering) for layer, one in codes.items()}
    n = len(next(iter(codes.values()), ()))
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:MOST_ITEMS])
    apart = {layer: one[chosen].hamming_matrix() for layer, one in codes.items()} if len(codes) > 1 else {}
    return tuple(
        FlowRow(network, a, b, flow_between(found[a], found[b], (apart[a], apart[b]), items="tokens", seed=seed))
        for a, b in pairwise(codes)
    )
