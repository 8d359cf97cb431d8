"""Half-sampling over documents: the sd is that of other documents, merging is adding, a fit beyond is undefined."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.measures.spectra.document_groups import SUBSPACE, DocumentGroups, DocumentSplits
from eval.measures.spectra.power_law import power_law_exponent

RANGE = (5, 20)


def documents(width: int, n: int, generator: np.random.Generator) -> tuple[torch.Tensor, np.ndarray]:
    """Documents of unequal length, each with a mean and a spread along the directions of its own."""
    lengths = generator.integers(20, 120, n)
    scale = np.arange(1, width + 1) ** -0.5
    rows = [
        (generator.standard_normal((length, width)) * np.exp(0.4 * generator.standard_normal(width))) * scale
        + 0.5 * generator.standard_normal(width) * scale
        for length in lengths
    ]
    return torch.from_numpy(np.concatenate(rows)), np.repeat(np.arange(n), lengths)


def groups_of(tokens: torch.Tensor, owners: np.ndarray) -> DocumentGroups:
    found = DocumentGroups(tokens.shape[1])
    for first in range(0, len(tokens), 500):
        found.update(tokens[first : first + 500], owners[first : first + 500])
    return found


def test_the_sd_is_that_of_other_documents():
    generator = np.random.default_rng(0)
    exponents, sds = [], []
    for _ in range(40):
        splits = groups_of(*documents(40, 80, generator)).splits(RANGE, n_splits=20)
        assert splits is not None
        exponents.append(splits.whole)
        sds.append(splits.sd)
    assert 0.8 < np.std(exponents, ddof=1) / np.sqrt(np.mean(np.square(sds))) < 1.25


def test_all_groups_together_are_the_covariance():
    tokens, owners = documents(40, 60, np.random.default_rng(1))
    splits = groups_of(tokens, owners).splits(RANGE)
    values = np.linalg.eigvalsh(np.cov(tokens.numpy().T))[::-1]
    assert splits is not None
    assert splits.whole == pytest.approx(float(power_law_exponent(values, RANGE)), abs=1e-9)
    assert splits.drift == pytest.approx(splits.whole - splits.halves.mean())
    assert splits.half_width() > 1.96 * splits.sd
    again = groups_of(tokens, owners).splits(RANGE)
    assert again is not None and np.array_equal(again.halves, splits.halves)


def test_streams_merge_and_survive_their_state():
    tokens, owners = documents(40, 60, np.random.default_rng(2))
    whole, half = groups_of(tokens, owners), len(tokens) // 2
    parts = [groups_of(tokens[:half], owners[:half]), groups_of(tokens[half:], owners[half:])]
    merged = DocumentGroups(40)
    for part in parts:
        copy = DocumentGroups(40)
        copy.load(part.state())
        merged.merge(copy)
    merged.merge(DocumentGroups(40))
    a, b = whole.splits(RANGE), merged.splits(RANGE)
    assert a is not None and b is not None
    assert np.allclose(a.halves, b.halves, atol=1e-9)


def test_a_wide_site_is_kept_in_its_leading_directions():
    tokens, owners = documents(200, 60, np.random.default_rng(3))
    whole, half = groups_of(tokens, owners), len(tokens) // 2
    assert whole.moments.shape[1] == SUBSPACE
    merged = groups_of(tokens[:half], owners[:half])
    merged.merge(groups_of(tokens[half:], owners[half:]))
    a, b = whole.splits(RANGE), merged.splits(RANGE)
    assert a is not None and b is not None and b.sd == pytest.approx(a.sd, rel=0.05)
    assert whole.splits((5, SUBSPACE // 2 + 1)) is None


def test_few_documents_have_no_splits():
    tokens, owners = documents(40, 5, np.random.default_rng(4))
    assert groups_of(tokens, owners).splits(RANGE) is None
    assert DocumentGroups(8).splits(RANGE) is None


def test_the_half_width_is_students_quantile_times_the_sd():
    splits = DocumentSplits(-0.8, np.array([[-0.7, -0.9], [-0.85, -0.75]]), 9)
    assert splits.sd == pytest.approx(np.sqrt((0.2**2 + 0.1**2) / 2) / 2)
    assert splits.half_width() == pytest.approx(2.306004 * splits.sd, rel=1e-6)
    assert splits.half_width(0.8) == pytest.approx(1.396815 * splits.sd, rel=1e-6)
