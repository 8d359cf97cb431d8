"""A share of independent yes/no trials with its exact interval."""

from __future__ import annotations

from scipy.stats import beta

from eval.errors import UserError
from eval.scores import Score


def binomial_share(hits: int, trials: int, confidence: float = 0.95) -> Score:
    """Which share of trials is a hit, and how sure? Exact two-sided interval [Clopper & Pearson 1934].

    Ends are the beta quantiles ``(1-c)/2`` of ``(hits, trials-hits+1)`` and ``(1+c)/2`` of ``(hits+1, trials-hits)``;
    it covers at least `confidence` at every share. In [0, 1]; 0 of n gives [0, 1 - ((1-c)/2)^(1/n)].

    Raises:
        UserError: no trial, or hits outside 0 to trials.
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise UserError(f"expected 0 <= hits <= trials and a trial; got {hits} of {trials}; count hits among trials")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(1 - tail, hits + 1, trials - hits))
    return Score(hits / trials, low, high, trials)
