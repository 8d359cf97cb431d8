"""The interval of alpha_corrected on text: over documents, over measured and corrected, or the reason why not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.measures.spectra.alpha_interval import corrected_exponent
from eval.measures.spectra.document_interval import exponent_over_documents
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import power_law_exponent
from eval.measures.statistics.resampling import MINIMUM_GROUPS

RANGE = (5, 20)


def moments_of(n_documents: int, *, topics: float, length: int = 60, width: int = 48) -> Moments:
    """Documents whose spread along each direction varies by `topics` (0: alike)."""
    generator = np.random.default_rng(0)
    moments, scale = Moments(width), np.arange(1, width + 1) ** -0.5
    for document in range(n_documents):
        own = np.exp(topics * generator.standard_normal(width))
        rows = generator.standard_normal((length, width)) * own * scale
        moments.update(torch.from_numpy(rows), np.full(length, document))
    return moments


def test_it_spans_alpha_as_measured_and_as_corrected():
    moments = moments_of(100, topics=0.5)
    found, alone = exponent_over_documents(moments, RANGE), corrected_exponent(moments, RANGE)
    score, measured = found.score, float(power_law_exponent(moments.eigenvalues(), RANGE))
    assert score.value == alone.score.value and score.n == 100
    half = max((alone.score.high - alone.score.low) / 2, 0.0)
    documents = moments.groups.splits(RANGE)
    half = max(half, documents.half_width())
    assert score.low == pytest.approx(min(measured, score.value) - half)
    assert score.high == pytest.approx(max(measured, score.value) + half)
    assert found.diagnostics["document_sd"] == documents.sd and found.diagnostics["document_drift"] == documents.drift
    assert found.diagnostics["parametric_low"] == alone.score.low


def test_few_tokens_leave_alpha_as_measured_out():
    moments = moments_of(30, topics=0.0, length=20)
    found, alone = exponent_over_documents(moments, RANGE), corrected_exponent(moments, RANGE)
    middle = (found.score.low + found.score.high) / 2
    assert middle == pytest.approx(alone.score.value)


def test_documents_that_differ_very_much_have_alpha_as_measured():
    moments = moments_of(24, topics=2.0)
    found = exponent_over_documents(moments, RANGE)
    assert "count as" in str(corrected_exponent(moments, RANGE).score.reason)
    assert found.score.value == pytest.approx(float(power_law_exponent(moments.eigenvalues(), RANGE)))
    assert found.score.high - found.score.low > 3 * found.diagnostics["document_sd"]
    assert found.diagnostics["parametric_low"] is None


def test_few_documents_keep_the_reason():
    found = exponent_over_documents(moments_of(12, topics=0.0, length=100), RANGE)
    assert "12 documents" in str(found.score.reason) and found.diagnostics["document_sd"] is None


def test_just_enough_documents_for_groups_have_an_interval_over_them():
    for number, has in ((MINIMUM_GROUPS - 1, False), (MINIMUM_GROUPS, True)):
        found = exponent_over_documents(moments_of(number, topics=0.2, length=200), RANGE)
        assert (found.diagnostics["document_sd"] is not None) == has
