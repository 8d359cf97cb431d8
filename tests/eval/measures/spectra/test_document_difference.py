"""Differences of exponents over the same documents: the interval covers, shared accidents drop out, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from eval.errors import UserError
from eval.measures.spectra.document_difference import paired_difference
from eval.measures.spectra.document_groups import DocumentSplits

SPLITS, GROUPS = 40, 32


def halves(effects: np.ndarray, seed: int) -> np.ndarray:
    """Means of random halves of the groups' effects [group]."""
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(GROUPS) for _ in range(SPLITS)]
    return np.array([[effects[order[: GROUPS // 2]].mean(), effects[order[GROUPS // 2 :]].mean()] for order in orders])


def test_the_interval_of_a_paired_difference_covers_and_is_narrow() -> None:
    covered, widths = 0, []
    for trial in range(300):
        generator = np.random.default_rng(trial)
        shared = generator.normal(0, 1, GROUPS)
        first, second = shared, shared + generator.normal(0.3, 0.2, GROUPS)
        score, _ = paired_difference(
            halves(first, trial), halves(second, trial), [second.mean() - first.mean()], GROUPS
        )
        covered += score.low <= 0.3 <= score.high
        widths.append(score.high - score.low)
    assert 0.92 <= covered / 300 <= 0.99
    alone = DocumentSplits(0.0, halves(np.random.default_rng(0).normal(0, 1, GROUPS), 0), GROUPS).half_width()
    assert np.mean(widths) < alone  # of one exponent by itself, half


def test_the_value_the_span_and_p_by_hand() -> None:
    first = np.zeros((2, 2))
    second = np.array([[0.1, -0.1], [0.0, 0.2]])
    sd = np.sqrt((0.2**2 + 0.2**2) / 2) / 2
    score, p = paired_difference(first, second, [0.5, 0.3], 5, n_documents=60)
    half = t.ppf(0.975, 4) * sd
    assert score.value == 0.5 and score.n == 60
    assert (score.low, score.high) == pytest.approx((0.3 - half, 0.5 + half))
    assert p == pytest.approx(2 * t.sf(0.3 / sd, 4))
    assert paired_difference(first, second, [0.5, -0.1], 5)[1] == 1  # corrected and measured disagree on the sign


def test_equal_halves_have_no_width() -> None:
    same = np.random.default_rng(0).normal(size=(SPLITS, 2))
    assert paired_difference(same, same, [0.0], GROUPS) == (paired_difference(same, same, [0.0], GROUPS)[0], 1.0)
    score, p = paired_difference(same, same + 0.25, [0.25], GROUPS)
    assert score.high - score.low < 1e-12 and p < 1e-12


def test_other_splits_are_refused() -> None:
    text = r"same splits of at least 2 groups; got \[4, 2\] and \[5, 2\] of 8; measure both"
    with pytest.raises(UserError, match=text):
        paired_difference(np.zeros((4, 2)), np.zeros((5, 2)), [0.0], 8)
