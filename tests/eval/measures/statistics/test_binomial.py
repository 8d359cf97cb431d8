"""The exact binomial interval against SciPy's, and its one-line errors."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from eval.errors import UserError
from eval.measures.statistics.binomial import binomial_share


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (5, 5), (1, 1), (3, 32), (190, 200)])
def test_the_interval_is_clopper_and_pearson(hits: int, trials: int) -> None:
    score = binomial_share(hits, trials)
    oracle = binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert score.value == hits / trials and score.n == trials
    assert score.interval == pytest.approx([oracle.low, oracle.high])


def test_a_lower_confidence_is_narrower() -> None:
    wide, narrow = binomial_share(10, 20), binomial_share(10, 20, confidence=0.5)
    assert wide.low is not None and narrow.low is not None and wide.low < narrow.low


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_one_line(hits: int, trials: int) -> None:
    with pytest.raises(UserError, match=f"expected 0 <= hits <= trials and a trial; got {hits} of {trials}"):
        binomial_share(hits, trials)
