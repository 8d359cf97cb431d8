"""Sparse rows hold what the dense ones do, in as many columns as the fullest row needs."""

from __future__ import annotations

import torch

from eval.measures.dictionaries.feature_rows import FeatureRows


def test_as_many_columns_as_the_fullest_row_has_entries():
    dense = torch.tensor([[1.0, 0, 0, 1.0], [0, -2, 0, 0], [0, 0, 0, 0]])
    rows = FeatureRows.from_dense(dense)
    assert rows.indices.shape == (3, 2) and len(rows) == 3 and rows.width == 4
    assert torch.equal(rows.dense(), dense)
    assert FeatureRows.from_dense(torch.ones(2, 3)).indices.shape == (2, 3)
    assert FeatureRows.from_dense(torch.zeros(2, 3)).indices.shape == (2, 1)
    assert FeatureRows.from_dense(torch.zeros(0, 3)).indices.shape == (0, 1)


def test_at_most_so_many_are_the_largest_in_size():
    dense = torch.tensor([[1.0, -3, 2, 0.5]])
    assert FeatureRows.from_dense(dense, 2).dense().tolist() == [[0, -3, 2, 0]]
    assert FeatureRows.from_dense(dense, 9).indices.shape == (1, 4)


def test_batches_of_different_fullness_are_joined_in_order():
    parts = [torch.tensor([[1.0, 0, 2]]), torch.tensor([[0.0, 0, 3], [0, 0, 0]])]
    joined = FeatureRows.concatenate([FeatureRows.from_dense(part) for part in parts])
    assert torch.equal(joined.dense(), torch.cat(parts)) and joined.indices.shape == (3, 2)
    assert torch.equal(joined.rows(torch.tensor([2, 0])).dense(), torch.cat(parts)[[2, 0]])
