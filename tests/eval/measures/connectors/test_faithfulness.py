"""Substitution scores, intervention agreement and dictionary quality against closed forms and planted effects."""

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.connectors.faithfulness import _null, edge_agreement, recovered, scorecard, share_of_gap
from eval.measures.dictionaries.dictionary_quality import DENSITY_EDGES, DictionaryQuality


def documents(n=40, seed=0):
    random = np.random.default_rng(seed)
    counts = random.integers(50, 200, n).astype(float)
    original = counts * random.normal(3.0, 0.3, n)
    return original, counts


def test_scorecard_is_the_paired_difference_per_token():
    original, counts = documents()
    rows = scorecard({"original": original, "worse": original + 0.25 * counts}, counts)
    assert rows[0].ce_delta.value == 0 and rows[0].ce_delta.interval == [0, 0]
    assert rows[1].ce_delta.value == pytest.approx(0.25)
    assert rows[1].ce_delta.interval == pytest.approx([0.25, 0.25])
    assert rows[1].ce - rows[0].ce == pytest.approx(0.25)
    with pytest.raises(UserError, match="expected the row 'original'; got worse; measure the baseline too"):
        scorecard({"worse": original}, counts)


def test_few_documents_leave_the_interval_undefined_with_its_reason():
    original, counts = documents(5)
    row = scorecard({"original": original, "worse": original + counts}, counts)[1]
    assert row.ce_delta.value == pytest.approx(1.0) and row.ce_delta.interval is None
    assert "at least 20" in row.ce_delta.interval_reason


def test_recovered_and_share_of_gap():
    original, counts = documents()
    ablated, replaced = original + 2 * counts, original + 0.5 * counts
    assert recovered(original, replaced, ablated).value == pytest.approx(0.75)
    assert share_of_gap(original + counts, replaced, ablated).value == pytest.approx(1 / 3)
    assert not recovered(original, replaced, original).is_defined
    assert not share_of_gap(replaced, ablated, original).is_defined


def test_what_cannot_be_told_from_nothing_is_no_denominator():
    original, counts = documents()
    noise = np.random.default_rng(1).normal(size=40)
    ablated = original + 0.01 * counts * (noise - noise.mean() + 0.05)  # a sum above 0, an interval about it
    assert (ablated - original).sum() > 0
    found = recovered(original, original + 0.001 * counts, ablated)
    assert found.reason == "what ablating this part costs cannot be told from 0" and found.n == 40
    found = share_of_gap(original, original + 0.001 * counts, ablated)
    assert found.reason == "the gap from reference to ablation cannot be told from 0" and found.n == 40
    few = slice(0, 4)  # too few documents for an interval: the ratio stands, and says that it has none
    found = recovered(original[few], original[few], original[few] + np.array([3.0, -1.0, -1.0, 0.5]))
    assert found.value == 1 and found.interval is None


def test_edges_that_do_what_they_say_and_a_null_that_does_not():
    random = np.random.default_rng(0)
    actual = random.normal(size=200)
    found = edge_agreement(actual + 0.1 * random.normal(size=200), actual)
    assert found["sign_agreement"].value > 0.9 and found["r2"].value > 0.95 and found["correlation"].value > 0.97
    assert found["sign_agreement_null"].value == pytest.approx(0.5, abs=0.05) and found["r2_null"].value < 0
    unrelated = edge_agreement(random.normal(size=200), actual)
    assert unrelated["sign_agreement"].low < 0.5 < unrelated["sign_agreement"].high
    assert not edge_agreement(np.zeros(0), np.zeros(0))["r2"].is_defined
    assert not edge_agreement(np.ones(30), np.zeros(30))["sign_agreement"].is_defined


def test_dictionary_quality_in_closed_form():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(400, 8, generator=generator)
    center = torch.zeros(8)
    features = torch.zeros(400, 6)
    features[:, :2] = 1
    quality = DictionaryQuality(40, 6, center)
    document = torch.arange(400) % 40
    quality.update(target[:200], 0.5 * target[:200], features[:200], document[:200])
    quality.update(target[200:], 0.5 * target[200:], features[200:], document[200:])
    found = quality.results()
    assert found["fvu"].value == pytest.approx(0.25, rel=1e-5) and found["fvu_per_token"].value == pytest.approx(0.25)
    assert found["cosine"].value == pytest.approx(1) and found["l0"].value == 2
    assert found["dead_share"].value == pytest.approx(4 / 6)
    assert quality.density_histogram()[0].features == 4 and quality.density_histogram()[-1].features == 2


def test_agreement_is_numpys_on_every_edge_and_its_null_over_every_pairing():
    random = np.random.default_rng(2)
    actual = random.normal(size=30)
    predicted = 0.5 * actual + 0.7 * random.normal(size=30)
    actual[:3] = 0
    found = edge_agreement(predicted, actual, n_shuffles=4000)
    signs = np.sign(predicted[:, None]) == np.sign(actual[None])
    assert found["sign_agreement"].value == pytest.approx(np.diag(signs)[3:].mean()) and found["r2"].n == 30
    assert found["r2"].value == pytest.approx(1 - ((actual - predicted) ** 2).sum() / (actual**2).sum())
    assert found["correlation"].value == pytest.approx(np.corrcoef(predicted, actual)[0, 1])
    assert found["sign_agreement_null"].value == pytest.approx(signs[:, 3:].mean(), abs=0.01)
    errors = 30 * np.mean((actual[None] - predicted[:, None]) ** 2)
    assert found["r2_null"].value == pytest.approx(1 - errors / (actual**2).sum(), abs=0.02)
    null = found["r2_null"]
    assert null.n == 4000 and null.low < null.value - 0.1 and null.high > null.value + 0.1
    assert edge_agreement(predicted, actual)["r2_null"].n == 200
    draws = _null([*map(float, range(101)), float("nan")])
    assert (draws.value, draws.low, draws.high, draws.n) == (50, 2.5, 97.5, 101)


def test_nothing_that_moved_is_undefined_with_its_reason():
    still = edge_agreement(np.ones(30), np.zeros(30))
    assert still["r2_null"].reason == still["sign_agreement_null"].reason == "no output feature changed"
    nothing = edge_agreement(np.zeros(0), np.zeros(0))
    assert set(nothing) == set(edge_agreement(np.ones(30), np.ones(30))) and nothing["r2"].n == 0
    assert nothing["r2"].reason == "no edge could be tested"
    one_moved = np.eye(1, 30)[0]
    assert edge_agreement(one_moved, one_moved)["sign_agreement"].value == 1


def test_a_gap_of_nothing_has_a_reason():
    original, counts = documents()
    assert recovered(original, original, original).reason == (
        "ablating this part costs nothing, so there is nothing to recover"
    )
    assert recovered(original, original, original).n == share_of_gap(original, original, original).n == 40
    assert share_of_gap(original, original, original).reason == "the ablation is no worse than the reference"
    assert recovered(original, original, original + 1e-6 * counts).is_defined
    assert share_of_gap(original, original, original + 1e-6 * counts).value == 0


def test_quality_is_numpys_with_both_conventions_of_unexplained_variance():
    generator = torch.Generator().manual_seed(0)
    target, guess = torch.randn(2, 300, 8, generator=generator, dtype=torch.float64).float()
    guess, center = target + 0.3 * guess, torch.full((8,), 0.5)
    features = (torch.rand(300, 6, generator=generator) - 0.7).relu()
    features[:, 5] = 0
    document = torch.arange(300) % 30 + 2  # documents 0 and 1 have no token
    quality = DictionaryQuality(32, 6, center)
    quality.update(target, guess, features, document)
    found = quality.results()
    x, y = target.double().numpy(), guess.double().numpy()
    error, spread = ((y - x) ** 2).sum(1), ((x - 0.5) ** 2).sum(1)
    assert found["fvu"].value == pytest.approx(error.sum() / spread.sum(), rel=1e-5)
    assert found["fvu_per_token"].value == pytest.approx((error / spread).mean(), rel=1e-5)
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert found["cosine"].value == pytest.approx(cosine.mean(), rel=1e-5) and found["cosine"].n == 30
    assert found["l0"].value == pytest.approx(float((features > 0).sum(1).double().mean()))
    assert found["dead_share"].value == pytest.approx(1 / 6) and found["dead_share"].n == 300
    assert found["dead_share"].interval_reason == "features silent on these 300 tokens"
    bins = quality.density_histogram()
    assert (bins[0].low, bins[0].high, bins[0].features) == (0, 0, 1) and len(bins) == 1 + len(DENSITY_EDGES)
    assert bins[1].low == 0 and bins[-1].high == pytest.approx(1) and sum(one.features for one in bins) == 6
    holding = [one for one in bins[1:] if one.features]
    share = (features > 0).double().mean(0)[:5]
    assert all(sum(one.low <= s <= one.high for one in holding) >= 1 for s in share.tolist())


def test_no_token_is_no_quality():
    found = DictionaryQuality(3, 2, torch.zeros(4)).results()
    assert {score.reason for score in found.values()} == {"no tokens"} and len(found) == 5
    assert DictionaryQuality(3, 2, torch.zeros(4)).density_histogram()[0].features == 2
    assert DENSITY_EDGES[0] == 1e-6 and DENSITY_EDGES[-1] == 1 and len(DENSITY_EDGES) == 13
