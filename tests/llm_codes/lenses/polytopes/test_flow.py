"""Flow of regions from layer to layer on planted codes: clusters that merge and split are counted."""

from __future__ import annotations

import numpy as np
import pytest

from llm_codes.lenses.polytopes.flow import flow_by_layer
from tests.llm_codes.lenses.polytopes.planted_codes import CLUSTERING, planted


def test_clusters_that_merge_and_split_are_counted_layer_by_layer() -> None:
    fine = np.repeat(np.arange(4), 20)
    codes = {2: planted(fine, 0), 5: planted(fine // 2, 1), 7: planted(fine, 2)}
    first, second = flow_by_layer(codes, CLUSTERING)
    merging, splitting = first.flow, second.flow
    assert (first.first, first.second, merging.merged, merging.split) == (2, 5, 2, 0)
    assert (splitting.clusters_first, splitting.clusters_second) == (2, 4)
    assert (splitting.split, splitting.merged) == (2, 0) and splitting.split_bits == pytest.approx(1)
    assert merging.neighbours_by_chance == pytest.approx(5 / 79) and first.network == "trained"
