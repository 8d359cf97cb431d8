"""Layer means, differences of kinds and nulls on units whose scores are written down, against NumPy and SciPy."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test, ttest_ind

from eval.explanation.comparison.statistics import (
    against_baseline,
    against_null,
    against_rivals,
    by_layer,
    difference,
    differences,
    every_score,
    grouped,
    mean_coverage,
    mean_over_units,
    sign_flip_p,
)
from eval.explanation.evaluate import MIXES
from eval.explanation.explainers import Explanation
from eval.explanation.results import CONSTANT, DocumentSums, PooledScores, RivalScore, TaskScores, UnitResult
from eval.explanation.scoring.scorers import SCORES, document_sums
from eval.explanation.units import Unit
from eval.measures.statistics.resampling import holm
from eval.scores import Score

ABSENT = Score.undefined("silent")


def pooled(score: Score) -> PooledScores:
    return PooledScores(*(score if name == "correlation" else Score(0.125) for name in SCORES))


def unit(
    score: Score, *, kind: str = "neuron", layer: int = 0, index: int = 0, null: Score = ABSENT, asked: int = 10,
    baselines: dict[str, Score] | None = None, sums: DocumentSums | None = None, condition: str = "trained",
) -> UnitResult:  # fmt: skip
    """One unit with this correlation on the shared windows."""
    of_documents = sums or DocumentSums(np.zeros((0, 11)), np.zeros(0, dtype=int))
    return UnitResult(
        Unit(kind, layer, index), condition, Explanation("words"), 1.0, 1, dict.fromkeys(MIXES, pooled(score)),
        dict.fromkeys(MIXES, of_documents),
        {name: dict.fromkeys(MIXES, pooled(one)) for name, one in (baselines or {}).items()},
        {"detection": TaskScores(Score(0.75), Score(0.875))}, null, (), (), None, asked, 4, 0, {},
    )  # fmt: skip


def noisy_unit(generator: np.random.Generator, noise: float, documents: int = 24, **words) -> UnitResult:
    """A unit whose prediction is its activation and noise, twelve tokens a document."""
    truth = generator.standard_normal(12 * documents)
    predicted = truth + noise * generator.standard_normal(len(truth))
    sums = DocumentSums(*document_sums(truth, predicted, np.repeat(np.arange(documents), 12)))
    return unit(Score(float(np.corrcoef(truth, predicted)[0, 1])), sums=sums, **words)


def test_groups_keep_kind_condition_and_layer_apart():
    members = [unit(Score(0.5)), unit(Score(0.5), layer=1), unit(Score(0.5), condition="shuffled"), unit(Score(1))]
    assert {key: len(found) for key, found in grouped(members).items()} == {
        ("neuron", 0): 2, ("neuron", 1): 1, ("neuron (shuffled)", 0): 1,
    }  # fmt: skip


def test_a_mean_over_units_needs_eight_for_an_interval():
    values = np.random.default_rng(0).uniform(size=40)
    found = mean_over_units([*map(Score, values), ABSENT], n_resamples=9999)
    oracle = bootstrap((values,), np.mean, rng=np.random.default_rng(1)).confidence_interval
    assert found.value == pytest.approx(values.mean()) and found.n == 40
    assert found.interval == pytest.approx([oracle.low, oracle.high], abs=0.01)
    assert mean_over_units([*map(Score, values[:8])]).interval is not None
    few = mean_over_units([*map(Score, values[:7])])
    assert few.value == pytest.approx(values[:7].mean()) and few.n == 7 and few.interval is None
    assert few.interval_reason == "7 units; an interval over units needs at least 8"


def test_a_mean_of_nothing_gives_the_reason_named_most_often():
    found = mean_over_units([Score.undefined("rare"), ABSENT, ABSENT])
    assert found.reason == "silent" and found.n == 0
    assert mean_over_units([]).reason == "no units"


def test_coverage_counts_only_units_that_were_asked():
    assert mean_coverage([unit(Score(1), asked=10), unit(Score(1), asked=20), unit(Score(1), asked=0)]) == 0.7
    assert mean_coverage([unit(Score(1), asked=0)]) is None


def test_a_layer_mean_counts_undefined_and_constant_units():
    constant = Score(0.0, interval_reason=CONSTANT)
    members = [unit(score) for score in (Score(0.5), Score(0.25), constant, ABSENT)]
    (row,) = by_layer(members, lambda result: result.primary)
    assert (row.kind, row.layer, row.undefined, row.constant) == ("neuron", 0, 1, 1)
    assert row.mean.value == 0.25 and row.mean.n == 3 and row.mean_of_others == 0.375 and row.coverage == 0.6
    (plain,) = by_layer(members[:2], lambda result: result.primary)
    assert plain.constant == 0 and plain.mean_of_others is None and plain.undefined == 0
    (empty,) = by_layer(members[2:], lambda result: result.primary)
    assert empty.mean.value == 0 and empty.mean_of_others is None


def test_every_score_names_its_score_mix_and_source():
    members = [unit(Score(0.5), null=Score(0.1), baselines={"token": Score(0.4)}), unit(Score(0.7), index=1)]
    rows = {(row.source, row.mix, row.score): row.by_layer.mean for row in every_score(members)}
    assert rows["simulation", "random", "correlation"].value == pytest.approx(0.6)
    assert rows["token", "top", "correlation"].value == 0.4 and rows["token", "top", "correlation"].n == 1
    assert rows["simulation", "top", "r_squared"].value == 0.125
    assert rows["shuffled explanation", "random", "correlation"].value == pytest.approx(0.1)
    assert rows["detection", "top against random", "balanced_accuracy"].value == 0.75
    assert rows["detection", "top against random", "auroc"].value == 0.875


def test_a_unit_is_compared_with_the_other_explanations_and_with_a_baseline():
    members = [
        unit(Score(0.9), null=Score(0.2), baselines={"token": Score(0.4)}),
        unit(Score(0.5), null=Score(0.1), index=1),
        unit(Score(0.3), null=Score.undefined("alone"), index=2, baselines={"token": Score.undefined("unknown")}),
        unit(ABSENT, null=Score(0.1), index=3, baselines={"token": Score(0.4)}),
    ]
    (null,) = against_null(members)
    assert null.mean.value == pytest.approx((0.7 + 0.4) / 2) and null.mean.n == 2 and null.undefined == 2
    (token,) = against_baseline(members, "token")
    assert token.mean.value == pytest.approx(0.5) and token.mean.n == 1 and token.undefined == 3
    assert [against_null([one])[0].mean.reason for one in members[2:]] == ["alone", "silent"]
    reasons = [against_baseline([one], "token")[0].mean.reason for one in members[1:]]
    assert reasons == ["no score", "unknown", "silent"]


def test_a_difference_is_that_of_the_means_with_scipys_p_and_an_interval_of_both_samples():
    generator = np.random.default_rng(0)
    first = [noisy_unit(generator, 0.3, index=i) for i in range(20)]
    second = [noisy_unit(generator, spread, index=i) for i, spread in enumerate(np.linspace(0.2, 0.8, 14))]
    a, b = (np.array([one.primary.value for one in members]) for members in (first, second))
    found, p = difference(first, [*second, unit(ABSENT)], n_resamples=4000)
    assert found.value == pytest.approx(a.mean() - b.mean()) and found.n == 34
    oracle = permutation_test((a, b), lambda x, y: ttest_ind(x, y, equal_var=False).statistic, rng=1, n_resamples=2000)
    assert p == pytest.approx(oracle.pvalue, abs=0.01)
    drawn = 2 * 1.96 * np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert found.low is not None and found.high is not None and found.low < a.mean() - b.mean() < found.high
    assert found.high - found.low == pytest.approx(drawn, rel=0.25)


def test_a_difference_without_enough_units_or_documents_has_a_reason():
    generator = np.random.default_rng(0)
    many = [noisy_unit(generator, 0.3, index=i) for i in range(8)]
    assert difference(many, many, n_resamples=50)[0].interval is not None
    few, p = difference(many, many[:7], n_resamples=50)
    assert few.interval is None and few.n == 15 and 0 < p <= 1
    assert few.interval_reason == "7 units of one kind; an interval over units needs at least 8"
    short = [noisy_unit(generator, 0.3, documents=19, index=i) for i in range(8)]
    found = difference(short, short, n_resamples=50)[0]
    assert found.interval is None and found.n == 16
    assert found.interval_reason == "19 score documents; an interval over documents needs at least 20"
    longer = [noisy_unit(generator, 0.3, documents=20, index=i) for i in range(8)]
    assert difference(longer, longer, n_resamples=50)[0].interval is not None
    nothing, p = difference(many, [unit(ABSENT)], n_resamples=50)
    assert nothing.reason == "one of the two kinds has no scored unit in this layer" and nothing.n == 8 and np.isnan(p)


def test_differences_are_corrected_over_the_layers_of_a_pair():
    generator = np.random.default_rng(0)
    members = [
        noisy_unit(generator, 0.3 + 0.1 * layer * (kind == "random"), kind=kind, layer=layer, index=i)
        for layer in range(3) for kind in ("neuron", "random") for i in range(9) if (layer, kind) != (2, "random")
    ]  # fmt: skip
    rows = differences(members, [("neuron", "random"), ("neuron", "sae")], n_resamples=400)
    assert [(row.layer, row.a, row.b) for row in rows] == [(0, "neuron", "random"), (1, "neuron", "random")]
    groups = grouped(members)
    found = [difference(groups["neuron", row.layer], groups["random", row.layer], n_resamples=400) for row in rows]
    assert [row.difference for row in rows] == [score for score, _ in found]
    assert [row.p_uncorrected for row in rows] == [p for _, p in found]
    assert [row.p for row in rows] == holm(np.array([p for _, p in found])).tolist()
    assert rows[0].coverage_a == rows[0].coverage_b == 0.6
    silent = [unit(ABSENT), unit(ABSENT, kind="random")]
    (row,) = differences(silent, [("neuron", "random")])
    assert row.p is None and row.p_uncorrected is None


def test_flipped_signs_give_the_share_of_all_sign_patterns():
    for gaps in ([1.0, 2.0, 3.0], [1.0, -2.0, 0.5, 4.0]):
        sums = [abs(np.dot(signs, gaps)) for signs in product((-1, 1), repeat=len(gaps))]
        exact = np.mean(np.array(sums) >= abs(sum(gaps)) - 1e-9)
        assert sign_flip_p(np.array(gaps)) == pytest.approx(exact, abs=0.03)
    assert np.isnan(sign_flip_p(np.zeros(0))) and sign_flip_p(np.zeros(3)) == 1


def test_a_rival_is_compared_unit_for_unit_and_corrected_over_layers():
    """Own minus rival where both have a score; p of flipped signs, Holm over the layers of a kind."""
    own = {0: [0.9, 0.8, 0.7, 0.9, 0.6], 1: [0.5, 0.4, 0.6, 0.3, 0.2]}
    rival = {0: [0.5, 0.6, 0.4, 0.3, 0.5], 1: [0.4, 0.5, 0.5, 0.4, 0.1]}
    members = [
        replace(unit(Score(a), layer=layer, index=i), rivals={"server": RivalScore(Explanation("words"), Score(b))})
        for layer in own
        for i, (a, b) in enumerate(zip(own[layer], rival[layer], strict=True))
    ]
    missing = RivalScore(Explanation("words"), ABSENT)
    members += [unit(Score(0.1), index=8), replace(unit(Score(0.1), index=9), rivals={"server": missing})]
    rows = against_rivals(members)
    assert [(row.rival, row.kind, row.layer) for row in rows] == [("server", "neuron", 0), ("server", "neuron", 1)]
    raw = [sign_flip_p(np.array(own[layer]) - np.array(rival[layer])) for layer in (0, 1)]
    assert [row.p for row in rows] == pytest.approx(holm(np.array(raw)).tolist()) and raw[0] < 0.2 < raw[1]
    for row in rows:
        assert row.mean == pytest.approx(np.mean(own[row.layer]))
        assert row.rival_mean == pytest.approx(np.mean(rival[row.layer]))
        gains = np.array(own[row.layer]) - np.array(rival[row.layer])
        assert row.difference.value == pytest.approx(gains.mean()) and row.difference.n == 5
    assert against_rivals([unit(Score(0.5))]) == []
