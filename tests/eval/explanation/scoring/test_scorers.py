"""The pooled scores against vectors computed by hand, their invariances and their undefined cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.explanation.scoring.calibration import fit_calibration
from eval.explanation.scoring.scorers import SCORES, document_sums, pooled_scores, score_all, score_sums

# a = 0 2 4 6, p = 1 2 2 7. Means 3, 3. Deviations -3 -1 1 3 and -2 -1 -1 4: sum of products 6+1-1+12 = 18, squares
# 9+1+1+9 = 20 and 4+1+1+16 = 22. Errors -1 0 2 -1: squares 1+0+4+1 = 6, absolute 4; sum a^2 = 56, sum a = 12.
TRUTH, PREDICTED = [0.0, 2.0, 4.0, 6.0], [1.0, 2.0, 2.0, 7.0]
BY_HAND = {
    "correlation": 18 / math.sqrt(20 * 22),
    "r_squared_uncentred": 1 - 6 / 56,
    "r_squared": 1 - 6 / 20,
    "absolute_deviation_explained": 1 - 4 / 12,
}


@pytest.mark.parametrize("name", SCORES)
def test_published_formulas_by_hand(name: str) -> None:
    assert pooled_scores(TRUTH, PREDICTED)[name].value == pytest.approx(BY_HAND[name], abs=1e-12)


def test_published_formulas_as_published() -> None:
    """The definitions of [B23]'s scoring code, on random data far from zero."""
    generator = np.random.default_rng(0)
    a = 1e4 + generator.standard_normal(500)
    p = 3 * a + generator.standard_normal(500)
    got = {name: value.value for name, value in pooled_scores(a.tolist(), p.tolist()).items()}
    assert got["correlation"] == pytest.approx(np.corrcoef(a, p)[0, 1], abs=1e-9)
    assert got["r_squared_uncentred"] == pytest.approx(1 - np.mean((a - p) ** 2) / np.mean(a**2), abs=1e-9)
    assert got["absolute_deviation_explained"] == pytest.approx(
        1 - np.mean(np.abs(a - p)) / np.mean(np.abs(a)), abs=1e-9
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_sums_over_documents_add_up(seed: int, n_documents: int) -> None:
    generator = np.random.default_rng(seed)
    a, p = generator.exponential(size=200), generator.exponential(size=200)
    together, _ = document_sums(a, p, np.zeros(200, dtype=int))
    apart, documents = document_sums(a, p, generator.integers(0, n_documents, 200))
    assert len(documents) <= n_documents
    for name in SCORES:
        assert score_sums(name, apart.sum(0)) == pytest.approx(score_sums(name, together.sum(0)), abs=1e-10)


def test_missing_predictions_are_left_out_not_scored_as_zero() -> None:
    holes = [1.0, float("nan"), 2.0, 7.0]
    whole = pooled_scores([0.0, 4.0, 6.0], [1.0, 2.0, 7.0])
    got = pooled_scores(TRUTH, holes)
    assert got["correlation"].value == pytest.approx(whole["correlation"].value)
    assert got["correlation"].n == 3


@pytest.mark.parametrize(
    ("truth", "predicted", "reason"),
    [
        ([0.0] * 4, PREDICTED, "the unit is zero on every scored token"),
        ([3.0] * 4, PREDICTED, "the unit is constant on the scored tokens"),
        (TRUTH, [float("nan")] * 4, "no token has a prediction"),
    ],
)
def test_undefined_scores_say_why(truth: list[float], predicted: list[float], reason: str) -> None:
    got = pooled_scores(truth, predicted)
    assert {value.reason for value in got.values()} == {reason}
    assert all(value.value is None for value in got.values())


def test_a_constant_prediction_has_no_correlation_but_an_r_squared() -> None:
    got = pooled_scores(TRUTH, [3.0] * 4)
    assert got["correlation"].reason == "the prediction is constant on the scored tokens"
    assert got["r_squared"].value == pytest.approx(0.0)
    assert got["r_squared_uncentred"].value == pytest.approx(1 - 20 / 56)


def test_too_few_documents_have_a_value_but_no_interval() -> None:
    sums, _ = document_sums(np.array(TRUTH), np.array(PREDICTED), np.array([0, 0, 1, 1]))
    got = score_all(sums)["correlation"]
    assert got.value == pytest.approx(BY_HAND["correlation"]) and got.interval is None
    assert "needs at least 20" in str(got.interval_reason)


def test_the_interval_covers_the_truth_over_documents() -> None:
    """r = 0.6 by construction; 95% intervals from 40 documents must cover it in most of 60 repetitions."""
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        a = generator.standard_normal(2000) + 5
        p = 0.6 * (a - 5) + 0.8 * generator.standard_normal(2000)
        sums, _ = document_sums(a, p, np.repeat(np.arange(40), 50))
        got = score_all(sums, n_resamples=300, seed=seed)["correlation"]
        assert got.low is not None and got.high is not None
        covered += got.low <= 0.6 <= got.high
    assert 50 <= covered <= 60


def test_length_mismatch_is_named() -> None:
    with pytest.raises(ValueError, match="expected as many predictions as activations"):
        pooled_scores([1.0, 2.0], [1.0])


def test_calibrations_recover_scale_and_shape() -> None:
    generator = np.random.default_rng(0)
    p = generator.uniform(0, 10, 4000)
    linear, note = fit_calibration("linear", p, 3 * p + 2)
    assert note is None and linear(np.array([1.0]))[0] == pytest.approx(5.0)
    percentile, note = fit_calibration("percentile", p, p**2)
    assert note is None and percentile(np.array([5.0]))[0] == pytest.approx(25.0, abs=0.6)
    assert (np.diff(percentile(np.linspace(0, 10, 50))) >= 0).all()
    same, note = fit_calibration("linear", np.ones(100), generator.uniform(size=100))
    assert "left uncalibrated" in str(note) and same(np.array([7.0]))[0] == 7.0
    assert fit_calibration("none", p, p)[0](p) is p
