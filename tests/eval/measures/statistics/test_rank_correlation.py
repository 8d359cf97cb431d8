"""Rank correlations against scipy's, and intervals that resample the groups and images, not the pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from eval.measures.statistics.rank_correlation import image_rank_correlation, rank_correlation
from eval.scores import Score


def columns(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 8, n).astype(float)  # with ties
    return first, first + 3 * generator.standard_normal(n)


@pytest.mark.parametrize("seed", range(5))
def test_the_value_is_scipys_with_ties(seed: int):
    first, second = columns(seed)
    score = rank_correlation(first, second, np.arange(60), seed=0)
    assert score.value == pytest.approx(float(spearmanr(first, second).statistic))
    assert score.low is not None and score.high is not None and score.low < (score.value or 0) < score.high


def test_the_interval_resamples_groups():
    """Every pair three times, in its group, tells nothing new; as groups of their own they would."""
    first, second = columns(0)
    alone = rank_correlation(first, second, np.arange(60), seed=0)
    repeated = (np.repeat(first, 3), np.repeat(second, 3))
    together = rank_correlation(*repeated, np.repeat(np.arange(60), 3), seed=0)
    assert together.interval == pytest.approx(alone.interval, abs=0.01) and together.n == alone.n == 60
    apart = rank_correlation(*repeated, np.arange(180), seed=0)
    assert apart.interval is not None and alone.interval is not None
    assert apart.interval[1] - apart.interval[0] < 0.7 * (alone.interval[1] - alone.interval[0])


def test_a_constant_or_two_pairs_have_no_rank_correlation():
    for first, second in ((np.ones(9), np.arange(9.0)), (np.arange(9.0), np.ones(9)), (np.arange(2.0), np.arange(2.0))):
        score = rank_correlation(first, second, np.arange(len(first)), seed=0)
        assert score.value is None and score.reason == "a constant distance has no rank correlation"
    assert rank_correlation(np.arange(3.0), np.arange(3.0), np.arange(3), seed=0).value == pytest.approx(1)


def test_images_are_compared_over_pairs_and_resampled_as_images():
    generator = np.random.default_rng(0)
    place = generator.standard_normal((20, 2))
    exact = np.linalg.norm(place[:, None] - place[None], axis=2)
    noisy = exact + generator.exponential(1.5, exact.shape)
    noisy = noisy + noisy.T
    upper = np.triu_indices(20, 1)
    score = image_rank_correlation(exact, noisy, seed=0)
    assert score.value == pytest.approx(float(spearmanr(exact[upper], noisy[upper]).statistic))
    assert score.n == 20 and score.low is not None and score.high is not None
    assert score.low < (score.value or 0) < score.high < 1
    assert image_rank_correlation(exact, exact**3, seed=0).value == pytest.approx(1)


def test_an_image_drawn_twice_counts_all_its_pairs_twice(monkeypatch: pytest.MonkeyPatch):
    """The statistic under weights is Spearman's over pairs, each as often as both its images were drawn."""
    kept = {}

    def keeps(statistic, n_groups, **_) -> Score:
        kept.update(of=statistic)
        return Score(0.0, n=n_groups, interval_reason="none asked for")

    monkeypatch.setattr("eval.measures.statistics.rank_correlation.bootstrap", keeps)
    first, second = np.random.default_rng(0).standard_normal((2, 6, 6))
    image_rank_correlation(first, second, seed=0)
    upper = np.triu_indices(6, 1)
    ranks = [rankdata(matrix[upper]) for matrix in (first, second)]
    weights = np.array([[2, 0, 1, 3, 0, 1], [1, 1, 1, 1, 1, 1]])
    expected = []
    for row in weights:
        times = [row[i] * row[j] for i, j in zip(*upper, strict=True)]
        expected.append(np.corrcoef(*(np.repeat(rank, times) for rank in ranks))[0, 1])
    np.testing.assert_allclose(kept["of"](weights.astype(float)), expected)
