"""Candidates, critical cells and p-values of logic forms against counting and SciPy's tests."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, t

from eval.measures.connectors.truth_tables import Candidate, candidates, cell_p_values, count_patterns, plan_of


def test_every_form_over_few_parents_is_a_candidate_once():
    forms = [(c.kind, c.columns, c.need) for c in candidates(3)]
    assert len(set(forms)) == len(forms)
    assert set(forms) == {
        *(("single", (i,), 1) for i in range(3)),
        *(("or", pair, 1) for pair in ((0, 1), (0, 2), (1, 2))), ("or", (0, 1, 2), 1),
        *(("and", pair, 2) for pair in ((0, 1), (0, 2), (1, 2))), ("and", (0, 1, 2), 3),
        ("k-of-n", (0, 1, 2), 2),
        *(("and-not", (i, j), 1) for i, j in product(range(3), repeat=2) if i != j),
    }  # fmt: skip
    of_four = [(c.kind, c.need) for c in candidates(5) if len(c.columns) == 4]
    assert of_four == [("or", 1), ("k-of-n", 2), ("k-of-n", 3)] * 5
    assert [c.kind for c in candidates(1)] == ["single"] and max(len(c.columns) for c in candidates(6)) == 4


def test_a_form_is_true_and_critical_where_its_definition_says():
    two_of_three = Candidate("k-of-n", (0, 1, 2), 2)
    for pattern in product((0, 1), repeat=3):
        assert two_of_three.true_on(pattern) == (sum(pattern) >= 2)
    assert set(two_of_three.critical()) == {p for p in product((0, 1), repeat=3) if sum(p) in (1, 2)}
    but_not = Candidate("and-not", (4, 2), 1)
    assert [p for p in but_not.critical() if but_not.true_on(p)] == [(1, 0)] and len(but_not.critical()) == 4
    assert Candidate("or", (0, 1), 1).critical() == [(0, 0), (0, 1), (1, 0)]
    assert Candidate("and", (0, 1), 2).critical() == [(0, 1), (1, 0), (1, 1)]


def test_a_plan_marks_the_patterns_of_every_cell():
    plan = plan_of(3)
    bits = np.array([[code >> i & 1 for i in range(3)] for code in range(8)])
    cell = 0
    for number, candidate in enumerate(plan.candidates):
        chosen = bits[:, candidate.columns]
        assert plan.true[number].tolist() == [candidate.true_on(tuple(row)) for row in chosen.tolist()]
        for pattern in candidate.critical():
            assert plan.masks[cell].tolist() == (chosen == pattern).all(1).tolist()
            assert plan.expected[cell] == candidate.true_on(pattern) and plan.owner[cell] == number
            cell += 1
    assert cell == len(plan.masks) == len(plan.owner)


def test_patterns_are_counted_by_document():
    generator = np.random.default_rng(0)
    fires, parents = generator.random(200) < 0.5, generator.random((200, 3)) < 0.4
    groups = generator.choice([3, 7, 20], 200)
    seen, fired = count_patterns(fires, parents, groups)
    assert seen.shape == fired.shape == (8, 3)
    for code, (place, group) in product(range(8), enumerate((3, 7, 20))):
        mine = (parents == [code >> i & 1 for i in range(3)]).all(1) & (groups == group)
        assert seen[code, place] == mine.sum() and fired[code, place] == (mine & fires).sum()
    whole, of_whole = count_patterns(fires, parents, None)
    assert (whole[:, 0] == seen.sum(1)).all() and (of_whole[:, 0] == fired.sum(1)).all() and whole.shape == (8, 1)
    assert count_patterns(np.zeros(0, bool), np.zeros((0, 2), bool), np.zeros(0, int))[0].shape == (4, 1)


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_a_cell_of_tokens_has_the_exact_binomial_p(threshold: float):
    seen, fired = (
        np.array([[20.0], [20.0], [9.0], [5.0], [5.0], [3.0]]),
        np.array([[15.0], [4.0], [0.0], [0.0], [5.0], [1.0]]),
    )
    expected = np.array([True, False, False, True, False, True])
    found = cell_p_values(seen, fired, expected, threshold)
    wanted = [
        binomtest(int(k), int(n), threshold, alternative="greater" if yes else "less").pvalue
        for k, n, yes in zip(fired[:, 0], seen[:, 0], expected, strict=True)
    ]
    assert found == pytest.approx(wanted)
    assert found[3] == 1 and found[4] == 1


def test_a_cell_of_documents_has_the_cluster_robust_t_of_its_pooled_rate():
    generator = np.random.default_rng(0)
    seen = generator.integers(5, 15, (2, 9)).astype(float)
    fired = np.rint(seen * generator.uniform([[0.5], [0.1]], [[1.0], [0.6]], (2, 9)))
    expected = np.array([True, False])
    found = cell_p_values(seen, fired, expected, 0.4, clustered=True)
    by_token = cell_p_values(seen, fired, expected, 0.4)
    for cell in range(2):
        n, share = seen[cell].sum(), fired[cell].sum() / seen[cell].sum()
        error = np.sqrt(9 / 8 * np.sum((fired[cell] - share * seen[cell]) ** 2)) / n
        gap = (share - 0.4) * (1 if expected[cell] else -1)
        assert found[cell] == pytest.approx(max(by_token[cell], t.sf(gap / error, 8)))
        assert found[cell] > by_token[cell]


def test_documents_that_agree_count_once_each_and_four_are_too_few():
    def found(documents: int, fired: float, expected: bool) -> float:
        seen = np.full((1, documents), 10.0)
        return float(cell_p_values(seen, fired * seen, np.array([expected]), 0.4, clustered=True)[0])

    assert found(5, 1, True) == pytest.approx(0.4**5) and found(6, 0, False) == pytest.approx(0.6**6)
    assert found(4, 1, True) == 1 == found(5, 1, False) == found(5, 0, True)
    unseen = cell_p_values(np.zeros((1, 6)), np.zeros((1, 6)), np.array([True]), 0.4, clustered=True)
    assert unseen[0] == 1
    half_unseen = np.array([[10.0] * 5 + [0.0]])
    assert cell_p_values(half_unseen, half_unseen, np.array([True]), 0.4, clustered=True)[0] == pytest.approx(0.4**5)
