"""The oracle: units that fire on known tokens, explanations that are right, half right and wrong."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.classification import TokenLookupJudge
from eval.explanation.evaluate import Settings, baseline_only, explain_and_score
from eval.explanation.explainers import TokenLookupExplainer
from eval.explanation.simulators import TokenLookupSimulator
from eval.explanation.statistics import by_layer, differences
from eval.explanation.units import Unit
from tests.eval.explanation.planted import Saying, fires_on, make_book, make_windows, says

X, Y, Z = 5, 11, 23
FAST = Settings(n_resamples=100)


def planted(*explanations):
    units = {Unit("neuron", 0, i): fires_on(X, Y) for i in range(len(explanations))}
    book = make_book(make_windows(), units)
    return explain_and_score(book, Saying(*explanations), TokenLookupSimulator(), settings=FAST)


def test_true_half_right_and_wrong_explanations_score_in_that_order() -> None:
    true, half, wrong = (result.primary.value for result in planted(says(X, Y), says(X), says(Z)))
    assert true > 0.9
    assert 0.5 < half < 0.85
    assert abs(wrong) < 0.05
    assert true > half > wrong


def test_token_lookup_recovers_a_planted_unit_and_scores_zero_on_shuffled_truth() -> None:
    units = {Unit("neuron", 0, i): fires_on(i, noise=0.02) for i in range(10)}
    units |= {Unit("random", 0, i): lambda kept, g: g.standard_normal(kept.shape) for i in range(10)}
    book = make_book(make_windows(), units)
    results = explain_and_score(
        book, TokenLookupExplainer(), TokenLookupSimulator(), judge=TokenLookupJudge(), settings=FAST
    )
    neurons, noise = results[:10], results[10:]
    assert min(result.primary.value for result in neurons) > 0.9
    assert max(abs(result.primary.value) for result in noise) < 0.1
    assert results[3].explanation.text.startswith("` w3` ")
    assert max(abs(result.null.value) for result in neurons) < 0.1
    assert results[0].tasks["detection"]["auroc"].value > 0.9
    assert results[0].tasks["fuzzing"]["balanced_accuracy"].value > 0.9
    rows = {row["kind"]: row for row in by_layer(results, lambda result: result.primary)}
    assert rows["neuron"]["ci"][0] > 0.9 and rows["neuron"]["n"] == 10 and rows["neuron"]["undefined"] == 0
    (pair,) = differences(results, [("neuron", "random")], n_resamples=200)
    assert pair["ci"][0] > 0.8 and pair["p"] < 0.02 and pair["n"] == 20


def test_the_constant_baseline_has_no_correlation_and_about_zero_r_squared() -> None:
    book = make_book(make_windows(), {Unit("neuron", 0, 0): fires_on(X)})
    (result,) = baseline_only(book, FAST)
    constant = result.baselines["constant"]["random"]
    assert constant["correlation"].reason == "the prediction is constant on the scored tokens"
    assert abs(constant["r_squared"].value) < 0.05


def test_a_silent_unit_is_undefined_counted_and_not_dropped() -> None:
    book = make_book(
        make_windows(),
        {Unit("neuron", 0, 0): fires_on(X), Unit("neuron", 0, 1): lambda kept, g: np.zeros(kept.shape)},
    )
    results = baseline_only(book, FAST)
    assert results[1].primary.reason == "the unit is zero on every token of the explain documents"
    (row,) = by_layer(results, lambda result: result.primary)
    assert (row["n"], row["undefined"]) == (1, 1)
    assert row["mean"] == pytest.approx(results[0].primary.value)


@pytest.mark.parametrize("calibration", ["linear", "percentile"])
def test_calibration_is_fitted_on_its_own_split_and_mends_the_scale(calibration: str) -> None:
    units = {Unit("neuron", 0, 0): fires_on(X)}
    faint = says(X)
    faint = type(faint)(faint.text, faint.table, 20.0)  # predicts a twentieth of the level
    book = make_book(make_windows(), units)
    settings = Settings(n_resamples=50, calibration=calibration)
    (raw,) = explain_and_score(book, Saying(faint), TokenLookupSimulator(), settings=FAST)
    (mended,) = explain_and_score(book, Saying(faint), TokenLookupSimulator(), settings=settings)
    assert raw.scores["random"]["r_squared"].value < 0.2
    assert mended.scores["random"]["r_squared"].value > 0.8
