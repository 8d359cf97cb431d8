"""Sparse least squares from moments: planted weights, scikit-learn on the kept inputs, starts, priors, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, orthogonal_mp_gram

from eval.errors import UserError
from eval.measures.connectors.pursuit import Moments, explained_by, pursue, refit


def planted(
    seed: int, n_kept: int, noise: float = 0.0, mixed: float = 0.2, tokens: int = 400, inputs: int = 20
) -> tuple:
    """Three outputs of correlated inputs with scales of their own: data, true weights, moments."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(3, tokens, inputs)) @ (np.eye(inputs) + mixed * random.normal(size=(inputs, inputs)))
    x = x * random.uniform(0.1, 10, inputs) + random.normal(size=inputs)
    weights = np.zeros((3, inputs))
    for row in weights:
        row[random.permutation(inputs)[:n_kept]] = random.choice([-1, 1], n_kept) * random.uniform(1, 2, n_kept)
    weights /= x.std(1)
    y = np.einsum("oti,oi->ot", x, weights) + noise * random.normal(size=(3, tokens)) + 5.0
    return x, y, weights, moments_of(x, y)


def moments_of(x: np.ndarray, y: np.ndarray) -> Moments:
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    gram = np.einsum("oti,otj->oij", x, x) / x.shape[1]
    return Moments(*map(torch.from_numpy, (gram, np.einsum("oti,ot->oi", x, y) / x.shape[1], y.var(1))))


def dense(fit, inputs: int = 20) -> np.ndarray:
    return torch.zeros(len(fit.kept), inputs, dtype=torch.float64).scatter(1, fit.kept, fit.weights).numpy()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), n_kept=st.integers(1, 4))
def test_planted_weights_of_nearly_independent_inputs_are_found(seed: int, n_kept: int) -> None:
    *_, weights, moments = planted(seed, n_kept, mixed=0.02)
    fit = pursue(moments, n_kept, ridge=0.0)
    np.testing.assert_allclose(dense(fit), weights, rtol=1e-6, atol=1e-9)
    assert (fit.fvu < 1e-9).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_of_correlated_inputs_the_answer_is_no_worse_than_the_start(seed: int) -> None:
    """The start here: what orthogonal matching pursuit finds."""
    *_, moments = planted(seed, 4, noise=1.0)
    start = np.stack([orthogonal_mp_gram(*pair, n_nonzero_coefs=4) for pair in _unit(moments)]) / moments.spread.numpy()
    fit = pursue(moments, 4, torch.from_numpy(start), ridge=0.0)
    assert (fit.fvu <= explained_by(moments, torch.from_numpy(start)) + 1e-6).all()


def _unit(moments: Moments):
    spread = moments.spread
    for gram, cross, s in zip(moments.gram, moments.cross, spread, strict=True):
        yield (gram / s[:, None] / s).numpy(), (cross / s).numpy()


def test_weights_of_the_kept_are_least_squares() -> None:
    x, y, _, moments = planted(1, 3, noise=1.0)
    fit = pursue(moments, 5, ridge=0.0)
    for own, wanted, kept, weights, fvu in zip(x, y, fit.kept, fit.weights, fit.fvu, strict=True):
        theirs = LinearRegression().fit(own[:, kept.numpy()], wanted)
        np.testing.assert_allclose(weights.numpy(), theirs.coef_, rtol=1e-8)
        assert float(fvu) == pytest.approx(1 - theirs.score(own[:, kept.numpy()], wanted), abs=1e-10)


def test_a_start_at_the_truth_stays_there() -> None:
    *_, weights, moments = planted(3, 4, noise=0.1)
    fit = pursue(moments, 4, torch.from_numpy(weights), ridge=0.0)
    assert all(set(kept.tolist()) == set(np.nonzero(row)[0]) for kept, row in zip(fit.kept, weights, strict=True))


def test_a_strong_prior_is_the_answer_and_a_weak_one_is_not() -> None:
    *_, weights, moments = planted(4, 3, noise=0.5)
    prior = torch.from_numpy(-weights)
    held = pursue(moments, 3, prior, ridge=1e9, toward=prior)
    np.testing.assert_allclose(dense(held), -weights, rtol=1e-6)
    free = pursue(moments, 3, torch.from_numpy(weights), ridge=1e-9, toward=prior)
    assert (free.fvu < 0.5).all() and (held.fvu > 1).all()


def test_what_may_not_be_chosen_has_no_weight() -> None:
    *_, weights, moments = planted(5, 2)
    usable = torch.ones(3, 20, dtype=torch.bool)
    usable[:, np.nonzero(weights[0])[0]] = False
    fit = pursue(moments, 6, usable=usable)
    assert (dense(fit)[~usable.numpy()] == 0).all()
    few = refit(moments, torch.arange(6).expand(3, 6), usable=torch.zeros(3, 20, dtype=torch.bool))
    assert (few.weights == 0).all() and (few.fvu == 1).all()


def test_a_constant_output_is_undefined() -> None:
    x, y, _, _ = planted(6, 2)
    fit = pursue(moments_of(x, np.where(np.arange(3)[:, None] == 1, 2.0, y)), 2)
    assert torch.isnan(fit.fvu[1]) and not torch.isnan(fit.fvu[[0, 2]]).any()


def test_fvu_of_given_weights_is_that_of_the_data() -> None:
    x, y, weights, moments = planted(7, 3, noise=1.0)
    wrong = weights * 1.5
    left = [np.var(own - other @ w) / np.var(own) for own, other, w in zip(y, x, wrong, strict=True)]
    np.testing.assert_allclose(explained_by(moments, torch.from_numpy(wrong)).numpy(), left, rtol=1e-9)


def test_bad_input_is_one_line() -> None:
    *_, moments = planted(8, 2)
    with pytest.raises(UserError, match="expected at least 21 candidates an output; got 20; keep fewer edges"):
        pursue(moments, 21)
    with pytest.raises(UserError, match="expected finite moments; got NaN or infinity"):
        pursue(Moments(moments.gram * torch.nan, moments.cross, moments.variance), 2)
