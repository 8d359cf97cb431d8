"""Entropy, null, p and q of sets of labels against SciPy and all possible draws."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import entropy, false_discovery_control

from eval.errors import UserError
from eval.measures.clustering.monosemanticity import label_entropy, monosemanticity

LABELS = np.array([5, 5, 5, 9, 9, 7, -1, 8])


def test_entropy_is_scipys_in_bits():
    counts = np.random.default_rng(0).integers(0, 5, (6, 4)).astype(float)
    assert label_entropy(counts) == pytest.approx([entropy(row, base=2) for row in counts])
    assert np.isnan(label_entropy(np.zeros((1, 3)))).all()


def test_a_set_is_compared_with_all_sets_of_its_size():
    """All draws of three from the seven labelled items are equally likely: their mean and share are known."""
    sets = [np.array([0, 1, 2]), np.array([0, 1, 3]), np.array([0, 3, 5]), np.array([0, 1, 6])]
    found = monosemanticity(sets, LABELS, n_draws=4000, seed=1)
    known = LABELS[LABELS >= 0]
    exact = [entropy(np.unique(known[list(c)], return_counts=True)[1], base=2) for c in combinations(range(7), 3)]
    h = [0.0, entropy([2, 1], base=2), np.log2(3), 0.0]
    assert found.entropy == pytest.approx(h)
    assert found.null[:3] == pytest.approx([np.mean(exact)] * 3, rel=0.03)
    assert found.reduction == pytest.approx(1 - found.entropy / found.null)
    assert found.p[:3] == pytest.approx([np.mean(np.array(exact) <= x + 1e-9) for x in h[:3]], abs=0.02)
    assert found.p[2] == 1.0 and (found.p * 4001 == pytest.approx(np.round(found.p * 4001)))
    assert found.q == pytest.approx(false_discovery_control(found.p))
    assert found.purity == pytest.approx([1, 2 / 3, 1 / 3, 1])


def test_the_level_is_a_rate_of_false_discoveries():
    labels = np.repeat(np.arange(40), 10)
    found = monosemanticity([np.arange(10), np.arange(0, 400, 40)], labels, n_draws=199)
    assert found.monosemantic().tolist() == [True, False]
    assert found.q[0] == 0.01 and found.p[0] == 0.005
    assert found.monosemantic(0.01)[0] and not found.monosemantic(0.0099)[0] and found.monosemantic(1.0).all()


def test_sets_of_fewer_than_two_labels_have_no_answer_and_no_part_in_the_family():
    found = monosemanticity([np.array([0]), np.zeros(0, dtype=int), np.array([0, 6]), np.array([0, 1])], LABELS)
    assert np.isnan(found.entropy[:3]).all() and not found.monosemantic(1.0)[:3].any()
    assert found.entropy[3] == 0 and found.q[3] == found.p[3]


def test_one_label_throughout_is_no_reduction():
    assert monosemanticity([np.array([0, 1])], np.zeros(9, dtype=int)).reduction.tolist() == [0.0]


def test_a_set_outside_the_items_is_refused():
    for members in ([0, 8], [-1, 2]):
        words = rf"expected members in 0..7; got {max(members)}; are labels per item\?"
        with pytest.raises(UserError, match=words):
            monosemanticity([np.array(members)], LABELS)
    assert np.isfinite(monosemanticity([np.array([0, 7])], LABELS).p[0])
