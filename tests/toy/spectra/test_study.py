"""The walk moves one feature at a time; a planted code has the spectrum and density it must have."""

import numpy as np
import pytest
import torch

from toy.configs.spectra import ToySpectraOptions
from toy.spectra.study import FRAMES_PER_FEATURE, describe, feature_walk


def test_the_walk_starts_and_ends_on_a_feature_and_moves_evenly() -> None:
    walk = feature_walk(3)
    assert walk.shape == (2 * FRAMES_PER_FEATURE + 1, 3)
    assert walk[0].tolist() == [1, 0, 0] and walk[-1].tolist() == [0, 0, 1]
    assert torch.allclose(walk.sum(1), torch.ones(len(walk)))
    steps = walk.diff(dim=0).norm(dim=1)
    assert torch.allclose(steps, steps[0].expand_as(steps))


def test_describe_on_an_identity_code() -> None:
    config = ToySpectraOptions(n_features=12, n_hidden=12, samples=4000)
    row = describe("planted", 0.5, torch.eye(12), torch.zeros(12), config)
    assert row.participation_ratio.value == pytest.approx(12, rel=0.05)
    assert row.dimensions_per_feature == pytest.approx(1)
    assert row.sampled_action == pytest.approx(row.expected_action, rel=0.2)
    steps = np.diff(feature_walk(12).numpy(), axis=0)
    assert row.expected_action == pytest.approx(3 / (2 * 12) * float((steps**2).sum()))
    assert 0 < row.distinct_codes <= 1 and (row.density.value or 0) > 0


def test_inputs_that_are_all_zero_have_no_density() -> None:
    config = ToySpectraOptions(n_features=2, n_hidden=2, samples=10, sparsities=[0.99999])
    row = describe("planted", 0.99999, torch.eye(2), torch.zeros(2), config)
    assert row.density.value is None and "one and the same point" in (row.density.reason or "")
    assert row.participation_ratio.reason == row.effective_rank.reason == "the code of these inputs does not vary"
    assert row.alpha.value is None and "index_range" in (row.alpha.reason or "")
