"""Predictions are kept token by token, and another metric of them is what a rerun would have scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from eval.errors import UserError
from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.rescoring.metrics import METRICS, auroc, metric_named, metric_score, register_metric, spearman
from eval.explanation.rescoring.predictions import FILE, read_predictions, table_bytes, table_of, write_predictions
from eval.explanation.rescoring.rescore import rescore
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from tests.eval.explanation.planted import Saying, fires_on, make_book, make_windows, says


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list]:
    units = {Unit("neuron", 0, i): fires_on(i) for i in range(3)} | {Unit("sae", 0, 7, source="A"): fires_on(5, 6)}
    units[Unit("neuron", 0, 9)] = lambda kept, generator: np.zeros(kept.shape)  # silent
    book = make_book(make_windows(40, 4), units, n_random=30)
    parts = []
    results = []
    for condition in ("trained", "shuffled"):
        told = Saying(says(0), says(1, 30), says(99), says(5), says(1))
        results += explain_and_score(
            book, told, RuleSimulator(), condition=condition, settings=Settings(n_resamples=10),
            keep=lambda drafts: parts.append(table_bytes(table_of(drafts))),
        )  # fmt: skip
    folder = tmp_path_factory.mktemp("run")
    write_predictions(folder / FILE, parts)
    return folder, results


def test_predictions_hold_every_token_with_its_truth(run) -> None:
    folder, results = run
    kept = list(read_predictions(folder))
    assert [(one.unit.name, one.condition) for one in kept[::2]] == [(r.unit.name, r.condition) for r in results]
    assert {one.mix for one in kept} == {"random", "top"}
    first = kept[0]
    np.testing.assert_array_equal(first.predicted > 0, np.array(first.tokens) == " w0")
    assert first.explanation == "` w0`" and first.truth.max() > 8 and len(np.unique(first.document)) > 10
    frame = pq.read_table(folder / FILE).to_pandas()
    assert set(frame["condition"]) == {"trained", "shuffled"} and len(frame) == sum(len(one.tokens) for one in kept)


@pytest.mark.parametrize("mix", ["random", "top", "top_and_random"])
@pytest.mark.parametrize("metric", ["correlation", "r_squared", "absolute_deviation_explained"])
def test_the_published_scores_come_out_as_the_run_had_them(run, metric: str, mix: str) -> None:
    folder, results = run
    for row, result in zip(rescore(str(folder), metric, mix).units, results, strict=True):
        score = result.scores[mix][metric]
        assert (row.unit, row.kind) == (result.unit.name, result.label)
        assert row.score.is_defined == score.is_defined
        if score.value is not None:
            assert row.score.value == pytest.approx(score.value, abs=1e-9)


def test_means_and_pairs_of_another_metric(run) -> None:
    folder, _ = run
    found = rescore(str(folder), "auroc")
    assert [(row.kind, row.undefined, row.mean.n) for row in found.by_layer] == [
        ("neuron", 1, 3), ("sae:A", 0, 1), ("neuron (shuffled)", 1, 3), ("sae:A (shuffled)", 0, 1),
    ]  # fmt: skip
    assert found.by_layer[0].mean.value == pytest.approx((1 + 0.99 + 0.5) / 3, abs=0.02)
    pairs = [(row.a, row.b) for row in found.paired]
    assert pairs == [("neuron", "sae:A"), ("neuron", "neuron (shuffled)"), ("sae:A", "sae:A (shuffled)")]
    reason = next(row.score.reason for row in found.units if row.unit == "neuron/L0/9")
    assert reason == "the unit is zero on every token of the explain documents"


def test_metrics_by_hand() -> None:
    truth, predicted = np.array([0.0, 5, 1, 9]), np.array([1.0, 2, 3, 4])
    assert spearman(truth, predicted) == pytest.approx(stats.spearmanr(truth, predicted)[0])
    assert auroc(truth, predicted) == 0.75 and np.isnan(auroc(np.zeros(3), predicted[:3]))
    documents = np.arange(4)
    assert metric_score("mean_squared_error", truth, predicted, documents).value == (1 + 9 + 4 + 25) / 4
    flat = metric_score("spearman", truth, np.ones(4), documents)
    assert flat.value == 0 and flat.interval_reason == "the explanation predicts a constant: counted as 0"
    assert metric_score("auroc", truth, np.full(4, np.nan), documents).reason == "no token has a prediction"
    assert metric_score("spearman", np.ones(4), predicted, documents).reason is not None


def test_a_metric_of_ones_own_and_unknown_ones(run, tmp_path: Path) -> None:
    @register_metric("share right")
    def share_right(truth, predicted):
        return np.mean(np.round(truth) == np.round(predicted))

    try:
        found = rescore(str(run[0]), "share right")
        assert 0 < found.units[0].score.value <= 1
    finally:
        del METRICS["share right"]
    with pytest.raises(UserError, match="unknown metric 'sperman': did you mean spearman"):
        metric_named("sperman")
    with pytest.raises(UserError, match=f"expected {FILE} in .* found none; run `explain` there"):
        rescore(str(tmp_path))
    with pytest.raises(UserError, match="expected a mix of random, top, top_and_random, got 'all'"):
        rescore(str(run[0]), "auroc", "all")
    (tmp_path / FILE).write_bytes(b"no parquet")
    with pytest.raises(UserError, match="holds no predictions"):
        rescore(str(tmp_path))
