"""The oracle: units that fire on known tokens, explanations that are right, half right and wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.explanation.comparison.statistics import by_layer, differences
from eval.explanation.evaluate import Settings, explain_and_score, rules_only
from eval.explanation.explainers import Explanation
from eval.explanation.rules.explainers import RuleExplainer
from eval.explanation.scoring.classification import RuleJudge
from eval.explanation.simulators import RuleSimulator, Simulation
from eval.explanation.units import Unit
from eval.results import load_result
from tests.eval.explanation.planted import WORDS, Saying, fires_on, make_book, make_windows, says

X, Y, Z = 5, 11, 23
FAST = Settings(n_resamples=100)


def planted(*explanations):
    units = {Unit("neuron", 0, i): fires_on(X, Y) for i in range(len(explanations))}
    book = make_book(make_windows(), units)
    return explain_and_score(book, Saying(*explanations), RuleSimulator(), settings=FAST)


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
    results = explain_and_score(book, RuleExplainer("token-lookup"), RuleSimulator(), judge=RuleJudge(), settings=FAST)
    neurons, noise = results[:10], results[10:]
    assert min(result.primary.value for result in neurons) > 0.9
    assert max(abs(result.primary.value) for result in noise) < 0.1
    assert results[3].explanation.text.startswith("` w3` ")
    assert max(abs(result.null.value) for result in neurons) < 0.1
    assert results[0].tasks["detection"]["auroc"].value > 0.9
    assert results[0].tasks["fuzzing"]["balanced_accuracy"].value > 0.9
    rows = {row.kind: row.to_json() for row in by_layer(results, lambda result: result.primary)}
    assert rows["neuron"]["ci"][0] > 0.9 and rows["neuron"]["n"] == 10 and rows["neuron"]["undefined"] == 0
    assert rows["neuron"]["coverage"] == 1
    pair = differences(results, [("neuron", "random")], n_resamples=200)[0].to_json()
    assert pair["ci"][0] > 0.8 and pair["p"] < 0.02 and pair["n"] == 20
    assert pair["coverage_a"] == pair["coverage_b"] == 1


def test_the_constant_baseline_has_no_correlation_and_about_zero_r_squared() -> None:
    book = make_book(make_windows(), {Unit("neuron", 0, 0): fires_on(X)})
    (result,) = rules_only(book, FAST)
    constant = result.baselines["constant"]["random"]
    assert constant["correlation"].reason == "the prediction is constant on the scored tokens"
    assert abs(constant["r_squared"].value) < 0.05


def test_a_silent_unit_is_undefined_counted_and_not_dropped() -> None:
    book = make_book(
        make_windows(),
        {Unit("neuron", 0, 0): fires_on(X), Unit("neuron", 0, 1): lambda kept, g: np.zeros(kept.shape)},
    )
    results = rules_only(book, FAST)
    assert results[1].primary.reason == "the unit is zero on every token of the explain documents"
    (row,) = by_layer(results, lambda result: result.primary)
    assert (row.mean.n, row.undefined) == (1, 1)
    assert row.mean.value == pytest.approx(results[0].primary.value)
    assert results[1].asked == results[1].missing == 0 and row.coverage == 1  # it was never asked about


@pytest.mark.parametrize("calibration", ["linear", "percentile"])
def test_calibration_is_fitted_on_its_own_split_and_mends_the_scale(calibration: str) -> None:
    units = {Unit("neuron", 0, 0): fires_on(X)}
    faint = Explanation(f"`{WORDS[X]}` 0.5")  # predicts a twentieth of the level
    book = make_book(make_windows(), units)
    settings = Settings(n_resamples=50, calibration=calibration)
    (raw,) = explain_and_score(book, Saying(faint), RuleSimulator(), settings=FAST)
    (mended,) = explain_and_score(book, Saying(faint), RuleSimulator(), settings=settings)
    assert raw.scores["random"]["r_squared"].value < 0.2
    assert mended.scores["random"]["r_squared"].value > 0.8


class Failing:
    """A simulator whose reply for one explanation never comes, and predicts a constant for another."""

    name = "failing"

    def simulate(self, tasks):
        lookup = RuleSimulator()
        return [
            Simulation.failed(len(task.strings), "gave up")
            if "w23" in task.explanation.text
            else Simulation(np.full(len(task.strings), 3.0))
            if "w11" in task.explanation.text
            else lookup.simulate([task])[0]
            for task in tasks
        ]


def test_a_given_explanation_that_predicts_a_constant_counts_as_0_and_a_reply_that_failed_lowers_coverage() -> None:
    units = {Unit("neuron", 0, i): fires_on(X) for i in range(4)} | {Unit("random", 0, 0): fires_on(X)}
    book = make_book(make_windows(), units)
    words = Saying(says(X), says(X), says(Y), says(Z), says(X))
    results = explain_and_score(book, words, Failing(), settings=FAST)
    constant, failed = results[2], results[3]
    assert constant.primary.value == 0 and constant.primary.interval is None and constant.coverage == 1
    assert constant.primary.interval_reason == "the explanation predicts a constant: counted as 0"
    assert failed.primary.reason == "no token has a prediction" and failed.coverage == 0 and failed.missing > 0
    row = by_layer(results, lambda result: result.primary)[0].to_json()
    good = np.mean([result.scores["random"].correlation.value for result in results[:2]])
    assert (row["n"], row["undefined"], row["constant"], row["coverage"]) == (3, 1, 1, 0.75)
    assert row["mean"] == pytest.approx(2 * good / 3) and row["mean_of_others"] == pytest.approx(good)
    (pair,) = differences(results, [("neuron", "random")], n_resamples=200)
    assert pair.difference.value == pytest.approx(2 * good / 3 - results[4].primary.value)
    assert (pair.coverage_a, pair.coverage_b) == (0.75, 1)


def test_the_null_counts_a_constant_prediction_as_the_units_own_score_does() -> None:
    units = {Unit("neuron", 0, i): fires_on(X) for i in range(3)}
    book = make_book(make_windows(), units)
    first, *_ = explain_and_score(book, Saying(says(X), says(Y), says(Y)), Failing(), settings=FAST)
    assert first.null.value == 0 and first.null.n == 2


def test_two_dictionaries_at_one_layer_are_two_rows() -> None:
    units = {Unit("sae", 3, 16, "hook", source, content): fires_on(X) for source, content in (("A", "1"), ("B", "2"))}
    results = rules_only(make_book(make_windows(), units), FAST)
    assert [row.kind for row in by_layer(results, lambda result: result.primary)] == ["sae:A", "sae:B"]
    assert [result.unit.name for result in results] == ["sae:A/L3/16", "sae:B/L3/16"]
    assert [result.row().to_json()["content"] for result in results] == ["1", "2"]


def test_a_units_result_survives_the_way_through_a_file(tmp_path: Path) -> None:
    book = make_book(make_windows(), {Unit("neuron", 0, i): fires_on(X, X + i) for i in range(9)})
    results = explain_and_score(book, RuleExplainer("token-lookup"), RuleSimulator(), judge=RuleJudge(), settings=FAST)
    again = [load_result(result.save(tmp_path / f"{i}.json")) for i, result in enumerate(results)]
    assert again == results and again[0].row().to_json() == results[0].row().to_json()
    assert differences(again, [("neuron", "neuron")], n_resamples=50) == differences(
        results, [("neuron", "neuron")], n_resamples=50
    )
