"""Intervals of the default estimate: they contain the truth on problems near which nothing was tuned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from eval.measures.information import estimate_information
from eval.measures.information.calibration import calibrate
from eval.measures.information.near_distribution import fit_near
from tests.eval.measures.information.problems import PROBLEMS, independent_label, ring, ring_nats, student_nats

ALWAYS_DEFINED = ("bivariate t", "ring", "4 bits, a quarter erased")


def test_the_truths_are_those_that_were_audited():
    assert student_nats() == pytest.approx(0.447, abs=1e-3)
    assert ring_nats() == pytest.approx(0.97, abs=0.005)
    assert PROBLEMS["4 bits, a quarter erased"][1] / math.log(2) == pytest.approx(3)


def test_intervals_contain_the_truth_on_twelve_problems():
    inside, undefined, draws = 0, set(), 2
    for name, (draw, truth) in PROBLEMS.items():
        for seed in range(draws):
            score = estimate_information(*draw(500, np.random.default_rng(seed)), units="nats", seed=seed).score
            if score.low is None or score.high is None:
                undefined.add(name)
            else:
                inside += score.low <= truth <= score.high
    assert len(undefined) <= 3 and not undefined & set(ALWAYS_DEFINED)
    assert inside >= 0.85 * draws * (len(PROBLEMS) - len(undefined))


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e6])
def test_a_label_that_knows_nothing_of_a_feature_far_from_zero(mean: float):
    label, feature = independent_label(mean)(1500, np.random.default_rng(1))
    score = estimate_information(label, feature).score
    assert score.low == 0 and score.high is not None and 0 < score.high < 0.1


def test_the_copula_transform_makes_monotone_maps_irrelevant():
    x, y = PROBLEMS["Gaussian, correlation .9"][0](600, np.random.default_rng(0))
    plain = estimate_information(x, y, units="nats")
    assert estimate_information(np.exp(5 * x), y**3, units="nats").score == plain.score
    raw = estimate_information(np.exp(5 * x), y**3, units="nats", copula=False).raw
    assert raw < plain.raw - 0.05


def test_the_distribution_near_the_data_has_known_information():
    x, y = ring(3000, np.random.default_rng(0))
    near = fit_near(x, y)
    assert near is not None and near.information(np.random.default_rng(1)) == pytest.approx(ring_nats(), abs=0.1)
    bits, code = PROBLEMS["3 bits, half erased"][0](3000, np.random.default_rng(0))
    near = fit_near((bits @ [1, 2, 4])[:, None].astype(float), code)
    assert near is not None and all(not piece.free.any() for piece in near.pieces)
    assert near.information(np.random.default_rng(1)) == pytest.approx(1.5 * math.log(2), abs=0.05)
    drawn = np.concatenate(near.draw(2000, np.random.default_rng(2)), 1)
    assert set(np.unique(drawn[:, 1:])) == {-1.0, 0.0, 1.0}


def test_messages_that_never_repeat_are_undefined():
    generator = np.random.default_rng(0)
    score = estimate_information(np.arange(300), generator.standard_normal((300, 2))).score
    assert score.value is None and "almost no two samples share a symbol" in str(score.reason)


def test_the_gaussian_formula_says_nothing_of_other_data():
    generator = np.random.default_rng(0)
    for name, words in (("bivariate t", "not jointly Gaussian"), ("4 bits, a quarter erased", "discrete")):
        score = estimate_information(*PROBLEMS[name][0](1000, generator), estimator="gaussian").score
        assert score.value is None and words in str(score.reason)
    found = estimate_information(*PROBLEMS["Gaussian, correlation .9"][0](4000, generator), estimator="gaussian")
    assert found.score.value is not None


@pytest.mark.parametrize("n", [300, 2300])
def test_the_interval_is_assembled_as_documented(n: int):
    """Bias and spread of simulated draws, a t quantile, half the bias and the drift as doubt; with more data than is
    simulated the bias is an upper limit, so that the interval spans both ends."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, 1))
    y = x + generator.standard_normal((n, 1))

    def estimator(a: np.ndarray, b: np.ndarray, neighbours: int) -> float:
        return float(-0.5 * np.log(1 - np.corrcoef(a[:, 0], b[:, 0])[0, 1] ** 2) + 0.1 + neighbours * a.std() / 50)

    found = calibrate(x, y, estimator, neighbours=3, draws=4, seed=5)
    near, again, size = fit_near(x, y, seed=5), np.random.default_rng(5), min(n, 2000)
    assert found is not None and near is not None
    known = near.information(again)
    draws = []
    for _ in range(4):
        a, b = near.draw(size, again)
        draws.append((estimator(a, b, 3), estimator(a, b, 6)))
    raw, wider = estimator(x, y, 3), estimator(x, y, 6)
    simulated = np.array(draws)
    bias = simulated[:, 0].mean() - known
    spread = simulated[:, 0].std(ddof=1) * math.sqrt(size / n)
    drift = abs((raw - wider) - (simulated[:, 0] - simulated[:, 1]).mean())
    reach = stats.t(3).ppf(0.975) * spread * math.sqrt(1 + 1 / 4) + abs(bias) / 2 + drift
    ends = (raw - bias, raw - bias if n <= 2000 else raw)
    assert (found.raw, found.bias, found.spread) == pytest.approx((raw, bias, spread))
    assert found.value == pytest.approx((ends[0] + ends[1]) / 2)
    assert (found.low, found.high) == pytest.approx((min(ends) - reach, max(ends) + reach))
