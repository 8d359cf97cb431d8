"""Features found again: all of a permuted copy, half of a half copy, and what random directions reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.dictionaries.stability import best_cosines, match


def directions(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_a_permuted_and_rescaled_copy_is_found_whole() -> None:
    ours = directions(60, 64, 0)
    found = match(ours, 3 * ours[torch.randperm(60, generator=torch.Generator().manual_seed(1))])
    assert found.share.value == 1.0 and found.mean.value == pytest.approx(1.0, abs=1e-6)
    assert found.share_random.value == 0.0 and found.mean_random.value < 0.5
    assert found.share.low is not None and found.share.low < 1.0  # exact binomial: 60 of 60 is not certainty


def test_the_null_is_not_the_random_start_of_a_dictionary_with_the_same_seed() -> None:
    for seed in (0, 1):
        assert match(directions(60, 64, seed), directions(60, 64, 9), seed=seed).share_random.value == 0.0


def test_half_a_copy_is_found_by_half() -> None:
    ours, other = directions(80, 64, 0), directions(40, 64, 5)
    found = match(ours, torch.cat([ours[:40], other]))
    assert found.share.value == 0.5


def test_best_cosines_equal_numpy_and_a_negated_vector_is_no_partner() -> None:
    ours, theirs = directions(7, 5, 2), directions(9, 5, 3)
    a, b = (x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True) for x in (ours, theirs))
    np.testing.assert_allclose(best_cosines(ours, theirs).numpy(), (a @ b.T).max(1), atol=1e-6)
    assert best_cosines(ours[:1], -ours[:1]).item() == pytest.approx(-1.0)


def test_errors_and_silent_features() -> None:
    ours = directions(4, 6, 0)
    ours[1] = 0
    assert len(best_cosines(ours, ours)) == 3
    with pytest.raises(UserError, match="one width; got 6 and 5"):
        match(ours, directions(4, 5, 0))
    with pytest.raises(UserError, match="not all zero"):
        match(torch.zeros(3, 6), ours)
