"""The corrected exponent: its simulator against real tokens, its correction in both directions, its reasons."""

import numpy as np
import pytest
import torch

from eval.measures.spectra.alpha_interval import (
    ClusteredSpectrum,
    _reason_against,
    correct_exponent,
    corrected_exponent,
    effective_lengths,
)
from eval.measures.spectra.clustered_wishart import _between, simulate_eigenvalues, wishart
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


def test_four_tokens_leave_three_degrees_of_freedom():
    """E tr(scatter) / (N - 1) = tr(population), by the mean's one degree."""
    spectrum = np.array([3.0, 1.0])
    draws = simulate_eigenvalues(spectrum, np.zeros(2), np.array([4.0]), 3000, 1)
    assert draws.sum(1).mean() == pytest.approx(4, abs=0.25)


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
    one_short = np.where(INDEX < 50, INDEX**-1.0, 0)
    score = correct_exponent(ClusteredSpectrum(one_short, np.full(100, 20.0), np.zeros(128))).score
    assert score.reason is not None and "eigenvalue 50 vanishes" in score.reason


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


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (ClusteredSpectrum(np.arange(1, 51.0) ** -1, np.ones(150), np.zeros(50)), None),
        (ClusteredSpectrum(np.arange(1, 51.0) ** -1, np.ones(149), np.zeros(50)), "needs at least 150"),
        (ClusteredSpectrum(np.arange(1, 50.0) ** -1, np.ones(150), np.zeros(49)), "49 wide"),
        # 60 directions and clustered tokens: 12 tokens each within documents
        (ClusteredSpectrum(np.arange(1, 61.0) ** -1, np.full(40, 19.0), np.full(60, 0.5)), None),
        (ClusteredSpectrum(np.arange(1, 61.0) ** -1, np.full(41, 18.5), np.full(60, 0.5)), "needs at least 720"),
        # a shared part too small to cluster: 19 tokens share a twentieth
        (ClusteredSpectrum(np.arange(1, 61.0) ** -1, np.full(21, 19.0), np.full(60, 0.05)), None),
        (ClusteredSpectrum(np.arange(1, 61.0) ** -1, np.full(20, 50.0), np.zeros(60)), None),
        (ClusteredSpectrum(np.arange(1, 61.0) ** -1, np.full(19, 50.0), np.zeros(60)), "19 documents"),
        (ClusteredSpectrum(np.arange(1, 61.0) ** -1, np.full(20, 50.0), np.zeros(60), 2.0), None),
        (ClusteredSpectrum(np.arange(1, 61.0) ** -1, np.full(20, 50.0), np.zeros(60), 2.01), "count as 10"),
    ],
)
def test_what_is_just_enough_to_correct_and_what_is_not(sample: ClusteredSpectrum, words: str | None):
    reason = _reason_against(sample, 50, 20)
    assert reason is None if words is None else words in str(reason)


def test_documents_that_differ_count_as_fewer_of_evenly_spaced_lengths():
    lengths = np.arange(1, 41.0)
    sample = ClusteredSpectrum(INDEX[:60] ** -1.0, lengths, np.zeros(60), 4.0)
    found = effective_lengths(sample)
    np.testing.assert_allclose(found, np.quantile(lengths, np.arange(0.05, 1, 0.1)))
    assert len(effective_lengths(ClusteredSpectrum(INDEX[:60] ** -1.0, lengths, np.zeros(60), 30.0))) == 2
    assert effective_lengths(ClusteredSpectrum(INDEX[:60] ** -1.0, lengths, np.zeros(60), 0.5)) is lengths


def test_what_the_correction_rests_on_is_said():
    sample = ClusteredSpectrum(np.array([3.0, 1.0]), np.array([10.0, 21.0]), np.array([0.5, 0.1]), 0.5)
    found = correct_exponent(sample).diagnostics
    assert (found["n_tokens"], found["n_documents"], found["tokens_per_width"]) == (31, 2, 15.5)
    assert found["shared_fraction"] == pytest.approx(1.6 / 4) and found["effective_documents"] == 2
    assert "N/d = 15.5" in str(found["warning"])
    enough = ClusteredSpectrum(np.array([3.0, 1.0]), np.array([11.0, 21.0]), np.zeros(2), 2.0)
    found = correct_exponent(enough).diagnostics
    assert found["warning"] is None and found["effective_documents"] == 1


def test_documents_of_one_token_or_without_a_shared_part_are_independent_tokens():
    spectrum = INDEX[:8] ** -1.0
    plain = simulate_eigenvalues(spectrum, np.zeros(8), np.ones(60), 3, 0)
    np.testing.assert_array_equal(simulate_eigenvalues(spectrum, np.full(8, 0.5), np.ones(60), 3, 0), plain)
    np.testing.assert_array_equal(simulate_eigenvalues(spectrum, np.zeros(8), np.full(6, 10.0), 3, 0), plain)


def test_one_shared_direction_is_enough_to_cluster():
    """Ten documents whose tokens share the first direction: its variance is known from ten draws, not from 500."""
    spectrum, shared = np.array([100.0, 1.0, 0.9]), np.array([0.98, 0.0, 0.0])
    draws = simulate_eigenvalues(spectrum, shared, np.full(10, 50.0), 200, 0)
    assert np.log(draws[:, 0]).std() == pytest.approx(np.sqrt(2 / 9), rel=0.35)
    assert np.log(draws[:, 1]).std() < 0.1


def test_a_dispersion_a_little_above_one_already_counts_documents_for_less():
    lengths = np.arange(1.0, 31.0)
    spectrum = INDEX**-0.8
    for dispersion, n in ((1.0, 30), (1.5, 20)):
        sample = ClusteredSpectrum(spectrum, lengths, np.zeros(128), dispersion)
        assert len(effective_lengths(sample)) == n


def test_many_documents_scatter_as_their_lengths_say():
    """E tr of the document means' scatter: sum over documents of own + length x common, less the grand mean's part."""
    spectrum, shared, lengths = np.array([3e-6, 1e-6]), np.array([0.5, 0.25]), np.repeat([1.0, 4.0, 25.0], 20)
    generator = np.random.default_rng(0)
    found = np.mean([_between(spectrum, shared, lengths, generator) for _ in range(400)], axis=0)
    expected = (60 * spectrum * (1 - shared) + lengths.sum() * spectrum * shared) * (1 - 1 / 60)
    np.testing.assert_allclose(np.diag(found), expected, rtol=0.06)
    assert abs(found[0, 1]) < 0.05 * expected[1]
