"""Substitution scores, intervention agreement and dictionary quality against closed forms and planted effects."""

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.connectors.faithfulness import edge_agreement, recovered, scorecard, share_of_gap
from eval.measures.dictionaries.dictionary_quality import DictionaryQuality


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
