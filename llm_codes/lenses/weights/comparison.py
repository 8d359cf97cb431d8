"""The two tables: each method against interventions, and against held-out activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eval.measures.graphs.agreement import agreement
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.scores import Score
from llm_codes.lenses.weights.held_out import share_left
from llm_codes.lenses.weights.interventions import HELD
from llm_codes.lenses.weights.methods import METHODS, REFITTED, REWEIGHTED
from llm_codes.lenses.weights.rows import WeightAgreement, WeightFit, WeightTest

ITSELF = "0 by definition"


def agreements(tests: Sequence[WeightTest], seed: int = 0) -> tuple[WeightAgreement, ...]:
    """Every method against direct and total effects."""
    if not tests:
        return ()
    return tuple(_agreement(tests, method, measured, seed) for measured in HELD for method in METHODS)


def _agreement(tests: Sequence[WeightTest], method: str, measured: str, seed: int) -> WeightAgreement:
    document = np.unique([test.document for test in tests], return_inverse=True)[1]
    truth = np.array([getattr(test, measured) for test in tests])
    own, rival = (np.array([test.predicted[name] for test in tests]) for name in (method, REWEIGHTED))
    found = agreement(own, truth, document, seed=seed)
    error, other, spread = (np.bincount(document, (one - truth) ** 2) for one in (own, rival, np.zeros_like(truth)))
    above = (
        Score.undefined(ITSELF, len(spread))
        if method == REWEIGHTED
        else bootstrap_ratio(other - error, spread, seed=seed)
    )
    r2 = bootstrap_ratio(spread - error, spread, seed=seed)
    share = float((own != 0).mean())
    return WeightAgreement(method, measured, len(tests), share, found.sign, found.rank, r2, found.slope, above)


def fits(errors: Mapping[str, np.ndarray], heads: Mapping[str, float], seed: int = 0) -> tuple[WeightFit, ...]:
    """Every method's held-out prediction of the targets; heads: share of each one's edges that run through a head."""
    return tuple(
        WeightFit(
            name,
            share_left(errors, "own", name, seed=seed),
            share_left(errors, "refitted", name, seed=seed),
            share_left(errors, "activation", name, seed=seed),
            Score.undefined(ITSELF)
            if name in (REWEIGHTED, REFITTED)
            else share_left(errors, "refitted", name, REWEIGHTED, seed=seed),
            heads[name],
        )
        for name in METHODS
    )
