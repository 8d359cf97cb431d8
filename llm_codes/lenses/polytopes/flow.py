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
from eval.measures.codes.region_flow import neighbours_kept, region_flow
from eval.scores import Score
from llm_codes.lenses.polytopes.panel_rows import FlowRow

NEIGHBOURS = 5
MOST_ITEMS = 2000
"""Tokens, drawn by seed, whose nearest are compared: all pairs of them are measured."""


def flow_by_layer(
    codes: Mapping[int, SplineCodes], clustering: Mapping[str, Any], *, network: str = "trained", seed: int = 0
) -> tuple[FlowRow, ...]:
    """One row for each pair of neighbouring layers. codes: of the same tokens, by layer, in order."""
    found = {layer: cluster_codes(one, **clustering) for layer, one in codes.items()}
    rows = []
    for first, second in pairwise(codes):
        n = len(codes[first])
        chosen = np.sort(np.random.default_rng(seed).permutation(n)[:MOST_ITEMS])
        kept, chance = Score.undefined(f"{n} tokens; {NEIGHBOURS} neighbours need {NEIGHBOURS + 2}", n), None
        if n >= NEIGHBOURS + 2:
            apart = [codes[layer][chosen].hamming_matrix() for layer in (first, second)]
            kept, chance = neighbours_kept(apart[0], apart[1], NEIGHBOURS, seed=seed)
        flow = region_flow(found[first].labels, found[second].labels)
        rows.append(
            FlowRow(
                network, first, second, found[first].n_clusters, found[second].n_clusters, flow.n_items,
                flow.split_bits, flow.merged_bits, flow.split, flow.merged, flow.agreement, kept, chance,
            )
        )  # fmt: skip
    return tuple(rows)
