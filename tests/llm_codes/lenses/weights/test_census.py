"""Targets: as many of each layer but the lowest, only such that live."""

from __future__ import annotations

import pytest
import torch

from eval.errors import UserError
from llm_codes.lenses.weights.census import LEAST_TOKENS, Census, drawn_targets


def found(*counts: list[int]) -> Census:
    means = torch.ones(len(counts))
    return Census(tuple(torch.tensor(one, dtype=torch.float) for one in counts), means, means, 1000)


def test_targets_live_and_lie_above_the_lowest_layer() -> None:
    live = LEAST_TOKENS
    targets = drawn_targets(found([live] * 9, [live, 0, live, live], [live - 1, live, live, 0]), 4, seed=0)
    pairs = list(zip(targets.layer.tolist(), targets.feature.tolist(), strict=True))
    assert [layer for layer, _ in pairs] == [1, 1, 2, 2] and (2, 1) in pairs and (2, 2) in pairs
    assert all(feature != 1 for layer, feature in pairs if layer == 1)


def test_where_nothing_lives_there_are_no_targets() -> None:
    words = "expected features above the lowest layer that are on at 20 positions or more of the fitting documents; got"
    with pytest.raises(UserError, match=words):
        drawn_targets(found([100], [LEAST_TOKENS - 1]), 3, seed=0)
