"""Spectra against closed forms and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.errors import UserError
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.spectrum import (
    Spectrum,
    effective_capacity,
    effective_rank,
    participation_ratio,
    randomized_eigenvalues,
    split_half_eigenvalues,
    top_direction_share,
)

spectra = arrays(float, st.integers(1, 30), elements=st.floats(1e-3, 1e3))


@given(spectra)
def test_dimension_measures_lie_between_one_and_the_width(values):
    for measure in (participation_ratio(values), effective_rank(values), 1 / top_direction_share(values)):
        assert 1 - 1e-9 <= measure <= len(values) * (1 + 1e-9)
    assert participation_ratio(values) <= effective_rank(values) * (1 + 1e-9)


def test_flat_and_empty_spectra():
    assert participation_ratio(np.ones(7)) == pytest.approx(7) and effective_rank(np.ones(7)) == pytest.approx(7)
    for measure in (participation_ratio, effective_rank, top_direction_share):
        assert math.isnan(measure(np.zeros(3)))
    assert math.isnan(participation_ratio(np.ones(3), n_samples=2))


def test_participation_ratio_is_unbiased_for_few_samples():
    generator = np.random.default_rng(0)
    spectrum = np.arange(1, 101.0) ** -1
    truth = spectrum.sum() ** 2 / np.sum(spectrum**2)
    found = [Spectrum.of_samples(generator.standard_normal((60, 100)) * np.sqrt(spectrum)) for _ in range(60)]
    assert np.mean([s.participation_ratio() for s in found]) == pytest.approx(truth, rel=0.05)
    assert np.mean([participation_ratio(s.eigenvalues) for s in found]) < 0.85 * truth


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.integers(1, 30))
def test_of_samples_equals_numpy_in_both_shapes(n, width):
    samples = np.random.default_rng(n).standard_normal((n, width))
    expected = np.linalg.eigvalsh(np.atleast_2d(np.cov(samples.T)))[::-1]
    np.testing.assert_allclose(Spectrum.of_samples(samples).eigenvalues, expected, atol=1e-10)


def test_split_half_exposes_noise_directions():
    generator = np.random.default_rng(0)
    first, second = (np.cov(generator.standard_normal((150, 100)).T) for _ in range(2))
    measured = np.linalg.eigvalsh((first + second) / 2)[::-1]
    held_out = split_half_eigenvalues(first, second)
    assert measured[0] > 2 and held_out[:10].mean() == pytest.approx(1, abs=0.1)
    assert held_out.sum() == pytest.approx(np.trace(first + second) / 2)


def test_effective_capacity_in_both_conventions():
    exact = 5 * 8 + (-1.0) * math.log2(math.factorial(5))
    assert effective_capacity(-1.0, 5, 8.0, convention="standard deviation") == pytest.approx(exact)
    assert effective_capacity(-2.0, 5, 8.0) == pytest.approx(exact)
    assert effective_capacity(0.0, 5, 8.0) == 40
    with pytest.raises(UserError, match=r"expected convention 'eigenvalue' or 'standard deviation'; got 'variance'"):
        effective_capacity(-1.0, 5, convention="variance")


def test_randomized_parity_option_agrees_at_the_top():
    samples = np.random.default_rng(0).standard_normal((400, 120)) * np.arange(1, 121.0) ** -0.5
    exact = Spectrum.of_samples(samples).eigenvalues
    np.testing.assert_allclose(randomized_eigenvalues(samples, 60)[:20], exact[:20], rtol=0.02)
    assert len(randomized_eigenvalues(samples, 1000, maximum_features=50)) == 49


def test_report_of_a_stream_and_its_reasons():
    tokens = torch.randn(600, 80, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 81.0) ** -0.5
    moments = Moments(80)
    moments.update(tokens, np.repeat(np.arange(30), 20))
    report = Spectrum.of(moments).report()
    assert report["alpha"] == pytest.approx(-1, abs=0.15) and 0.9 < report["r2"] <= 1
    assert report["n_tokens"] == 600 and "10-50" in report["range_sensitivity"] and report["split_half_alpha"] < 0
    assert report["effective_capacity"]["eigenvalue"] > report["effective_capacity"]["standard deviation"]
    narrow = Spectrum.of_samples(np.random.default_rng(0).standard_normal((30, 20))).report()
    assert narrow["alpha"] is None and "at least 50 eigenvalues" in narrow["alpha_reason"]
    constant = Spectrum.of_samples(np.ones((5, 60))).report()
    assert constant["participation_ratio"] is None and constant["alpha_reason"]


def test_error_texts():
    with pytest.raises(UserError, match=r"expected samples \[sample >= 2, width\]; got \[1, 3\]"):
        Spectrum.of_samples(np.ones((1, 3)))
    with pytest.raises(UserError, match=r"expected finite samples"):
        Spectrum.of_samples(np.full((4, 3), np.nan))


def test_one_neuron_carries_its_bits_and_none_is_refused():
    assert effective_capacity(-3.0, 1) == 32
    with pytest.raises(UserError, match="expected width >= 1; got 0"):
        effective_capacity(-3.0, 0)


def test_a_site_as_wide_as_the_limit_is_subsampled_below_it():
    samples = np.random.default_rng(0).standard_normal((60, 20))
    assert len(randomized_eigenvalues(samples, 1000, maximum_features=20)) == 19
    assert len(randomized_eigenvalues(samples, 1000, maximum_features=21)) == 20
    assert len(randomized_eigenvalues(samples, 7, maximum_features=21)) == 7
    np.testing.assert_array_equal(
        randomized_eigenvalues(samples, 9, 20, seed=0), randomized_eigenvalues(samples, 9, maximum_features=20)
    )


def test_measures_of_known_spectra_by_hand():
    values = np.array([4.0, 2.0, 2.0])
    assert top_direction_share(values) == 0.5
    assert effective_rank(values) == pytest.approx(math.exp(1.5 * math.log(2)))
    assert participation_ratio(values) == pytest.approx(64 / 24)
    assert participation_ratio(np.ones(6), 11) == pytest.approx((1.1 * 36 - 0.2 * 6) / (6 - 36 / 10))
    assert effective_rank(np.array([4.0, 0.0])) == pytest.approx(1)


def test_a_kink_is_reported_from_eight_fitted_indices_on():
    spectrum = Spectrum(np.arange(1, 41.0) ** -1, 500)
    assert "broken_power_law" in spectrum.report((3, 10)) and "broken_power_law" not in spectrum.report((3, 9))
    assert "split_half_alpha" not in spectrum.report((3, 9))
    halves = np.where(np.arange(40) < 10, np.arange(1, 41.0) ** -2, 0.0)  # nothing beyond index 10 is shared
    split = Spectrum(spectrum.eigenvalues, 500, halves)
    assert split.report((3, 10))["split_half_alpha"] == pytest.approx(-2)
    assert "split_half_alpha" not in split.report((3, 11))
