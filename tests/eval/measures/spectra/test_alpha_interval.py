"""The corrected exponent: its simulator against real tokens, its correction in both directions, its reasons."""

import numpy as np
import pytest
import torch

from eval.measures.spectra.alpha_interval import ClusteredSpectrum, correct_exponent, corrected_exponent
from eval.measures.spectra.clustered_wishart import simulate_eigenvalues, wishart
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import power_law_exponent

INDEX = np.arange(1, 129.0)


def test_wishart_has_the_right_mean_in_both_regimes():
    generator = np.random.default_rng(0)
    variances = np.array([3.0, 1.0, 0.5, 0.1])
    for degrees in (2, 9):
        mean = np.mean([wishart(variances, degrees, generator) for _ in range(1500)], axis=0)
        np.testing.assert_allclose(mean, degrees * np.diag(variances), atol=0.4)


@pytest.mark.parametrize(("lengths", "share"), [([200] * 1, 0.0), ([30] * 12, 0.5), ([2, 5, 90, 40, 7], 0.3)])
def test_simulated_spectra_are_those_of_real_tokens(lengths, share):
    generator = np.random.default_rng(0)
    lengths, spectrum = np.array(lengths), np.arange(1, 41.0) ** -0.8
    documents = np.repeat(np.arange(len(lengths)), lengths)
    real = []
    for _ in range(150):
        own, common = generator.standard_normal((len(documents), 40)), generator.standard_normal((len(lengths), 40))
        tokens = np.sqrt(1 - share) * own + np.sqrt(share) * common[documents]
        real.append(np.linalg.eigvalsh(np.cov((tokens * np.sqrt(spectrum)).T))[::-1])
    simulated = simulate_eigenvalues(spectrum, np.full(40, share), lengths.astype(float), 150, 1)
    error = np.log(simulated).std(0) / np.sqrt(75) + 0.002
    assert (np.abs(np.log(simulated).mean(0) - np.log(real).mean(0)) < 4.5 * error).all()


def test_many_documents_are_simulated_in_classes():
    lengths = np.random.default_rng(0).integers(1, 9, size=60).astype(float)
    spectrum, share = np.array([2.0, 1.0, 0.5]), np.full(3, 0.4)
    classes = simulate_eigenvalues(spectrum, share, lengths, 200, 0).sum(1).mean()
    assert classes == pytest.approx(spectrum.sum(), rel=0.06)


def measured(spectrum, share, lengths, seed):
    shared = np.full(len(spectrum), share)
    values = simulate_eigenvalues(spectrum, shared, lengths, 1, seed)[0]
    return ClusteredSpectrum(values, lengths, shared)


def test_iid_bias_is_removed_and_the_interval_covers():
    samples = [measured(INDEX**-0.7, 0.0, np.ones(256), seed) for seed in range(4, 8)]
    raw = np.mean([power_law_exponent(sample.eigenvalues) for sample in samples])
    results = [correct_exponent(sample) for sample in samples]
    corrected = np.mean([found.score.value for found in results])
    assert abs(raw + 0.7) > 0.07 and abs(corrected + 0.7) < 0.05
    assert sum(found.score.low < -0.7 < found.score.high for found in results) >= 3
    found = results[0]
    assert found.score.high - found.score.low < 0.2
    assert found.score == correct_exponent(samples[0]).score
    assert "N/d = 2.0" in str(found.diagnostics["warning"])


def test_clustered_bias_of_the_other_sign_is_removed():
    lengths = np.full(40, 64.0)
    sample = measured(INDEX**-0.7, 0.5, lengths, 5)
    assert power_law_exponent(sample.eigenvalues) < -0.8
    found = correct_exponent(sample)
    assert found.diagnostics["alpha_bias"] < -0.1 and found.score.low < -0.7 < found.score.high


def test_dispersion_widens_the_interval():
    sample = measured(INDEX**-1.0, 0.2, np.full(120, 30.0), 0)
    plain = correct_exponent(sample).score
    spread = correct_exponent(ClusteredSpectrum(sample.eigenvalues, sample.lengths, sample.shared, 4.0)).score
    assert 1.4 < (spread.high - spread.low) / (plain.high - plain.low) < 3


def test_a_stream_of_clustered_tokens_end_to_end():
    generator = np.random.default_rng(2)
    documents = np.repeat(np.arange(120), generator.integers(10, 40, size=120))
    tokens = generator.standard_normal((len(documents), 128)) + generator.standard_normal((120, 128))[documents]
    moments = Moments(128)
    moments.update(torch.from_numpy((tokens * INDEX**-0.5).astype(np.float32)), documents)
    found = corrected_exponent(moments)
    assert found.diagnostics["shared_fraction"] == pytest.approx(0.5, abs=0.08)
    assert found.score.n == 120 and abs(found.score.value + 1) < 0.12
    assert 0.05 < found.score.high - found.score.low < 0.3


def test_a_wide_site_is_simulated_at_its_leading_directions():
    index = np.arange(1, 401.0)
    found = correct_exponent(measured(index**-0.9, 0.0, np.ones(1600), 1))
    assert found.score.value == pytest.approx(-0.9, abs=0.06) and found.score.low < -0.9 < found.score.high


@pytest.mark.parametrize(
    ("width", "lengths", "dispersion", "reason"),
    [
        (30, np.full(100, 20.0), 1.0, "the site is 30 wide; the fit needs index 50"),
        (128, np.ones(100), 1.0, "100 tokens; the fit to index 50 needs at least 150"),
        (128, np.full(8, 64.0), 1.0, "8 documents; the correction resamples documents and needs at least 20"),
        (128, np.full(30, 64.0), 10.0, "30 documents that differ so much that they count as 3"),
    ],
)
def test_reasons(width, lengths, dispersion, reason):
    index = np.arange(1, width + 1.0)
    score = correct_exponent(ClusteredSpectrum(index**-1.0, lengths, np.zeros(width), dispersion)).score
    assert score.value is None and score.reason == reason


def test_a_code_with_few_directions_is_undefined():
    spectrum = np.where(INDEX < 20, INDEX**-1.0, 0)
    score = correct_exponent(ClusteredSpectrum(spectrum, np.full(100, 20.0), np.zeros(128))).score
    assert "eigenvalue 50 vanishes" in score.reason


def test_clustered_tokens_too_few_to_correct_are_undefined():
    found = correct_exponent(measured(INDEX**-0.7, 0.5, np.full(22, 64.0), 5))
    assert found.score.reason is not None
    assert "documents that share 50% of their variance; the correction for clustered tokens needs" in found.score.reason


def test_a_spectrum_with_endless_data_is_left_as_it_is():
    """Also where it is no power law: the model supplies the bias, never the shape."""
    spectrum = INDEX**-0.8 * (1 + 0.4 * np.sin(np.log(INDEX) * 3)) * np.exp(-INDEX / 60)
    sample = measured(np.sort(spectrum)[::-1], 0.03, np.full(400, 500.0), 2)
    found = correct_exponent(sample)
    assert abs(found.diagnostics["alpha_bias"]) < 0.02
