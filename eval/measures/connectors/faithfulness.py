"""Does a replacement do what the original did? Substitution scores and intervention predictions.

Axis glossary: ``document`` independent groups of tokens, ``edge`` one input-output pair of a connector, ``row`` one way
of replacing part of a network.

Substitution: run the network with a part replaced and compare its next-token cross-entropy (CE, nats per token), paired
by document. Intervention: change one input feature in the real network and compare the change of an output feature with
what the connector predicts; a null with shuffled weights says what chance looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap, bootstrap_ratio
from eval.scores import Score


@dataclass(frozen=True)
class Substitution:
    """What one replacement costs: ``ce`` nats per token, ``ce_delta`` over the baseline's (documents resampled)."""

    row: str
    ce: float
    ce_delta: Score


def scorecard(
    loss_sums: Mapping[str, Float[np.ndarray, " document"]],
    token_counts: Float[np.ndarray, " document"],
    *,
    baseline: str = "original",
    seed: int = 0,
) -> list[Substitution]:
    """What does each replacement cost? One row per replacement, in the order given, paired by document.

    Args:
        loss_sums: for each row, the summed CE of each document's tokens.
        token_counts: tokens of each document.
        baseline: the row that costs nothing.

    Raises:
        UserError: the baseline was not measured.
    """
    if baseline not in loss_sums:
        raise UserError(f"expected the row {baseline!r}; got {', '.join(loss_sums)}; measure the baseline too")
    return [
        Substitution(
            row,
            float(sums.sum() / token_counts.sum()),
            bootstrap_ratio(sums - loss_sums[baseline], token_counts, seed=seed),
        )
        for row, sums in loss_sums.items()
    ]


def recovered(
    original: Float[np.ndarray, " document"],
    replaced: Float[np.ndarray, " document"],
    ablated: Float[np.ndarray, " document"],
    *,
    seed: int = 0,
) -> Score:
    """Which share of ablation's cost does a replacement save? ``(ablated - replaced) / (ablated - original)``

    1 is perfect, 0 is no better than ablation, negative is worse. Summed losses per document, documents resampled. Say
    the CE delta beside it: 95% recovered can hide half a nat. Undefined where ablation costs nothing, or nothing that
    the documents can tell from 0 (as in an untrained network).
    """
    return _share(
        ablated - replaced,
        ablated - original,
        seed,
        nothing="ablating this part costs nothing, so there is nothing to recover",
        untold="what ablating this part costs cannot be told from 0",
    )


def share_of_gap(
    replaced: Float[np.ndarray, " document"],
    reference: Float[np.ndarray, " document"],
    ablated: Float[np.ndarray, " document"],
    *,
    seed: int = 0,
) -> Score:
    """How far from the reference towards ablation is a replacement? ``(replaced - reference) / (ablated - reference)``

    0 is as good as the reference, 1 as bad as ablation. For a connector the reference is its output dictionary alone.
    Undefined where the ablation is no worse than the reference, or not by what the documents can tell from 0.
    """
    return _share(
        replaced - reference,
        ablated - reference,
        seed,
        nothing="the ablation is no worse than the reference",
        untold="the gap from reference to ablation cannot be told from 0",
    )


def _share(
    part: Float[np.ndarray, " document"], gap: Float[np.ndarray, " document"], seed: int, *, nothing: str, untold: str
) -> Score:
    """``sum(part) / sum(gap)``, documents resampled; undefined, in the words given, where there is no gap, or none that
    the documents can tell from 0. Where they are too few for an interval, a positive gap is taken as it is."""
    if float(gap.sum()) <= 0:
        return Score.undefined(nothing, len(gap))
    low = bootstrap_ratio(gap, np.ones(len(gap)), seed=seed).low
    if low is not None and low <= 0:
        return Score.undefined(untold, len(gap))
    return bootstrap_ratio(part, gap, seed=seed)


def edge_agreement(
    predicted: Float[np.ndarray, " edge"],
    actual: Float[np.ndarray, " edge"],
    *,
    n_shuffles: int = 200,
    seed: int = 0,
) -> dict[str, Score]:
    """Do interventions on edges come out as predicted?

    Args:
        predicted, actual: mean change of the output feature, per edge, predicted and in the real network.
        n_shuffles: draws of the null, which pairs each real change with another edge's prediction.

    Returns:
        ``sign_agreement`` (share of edges with a non-zero real change whose sign is predicted), ``r2``
        (``1 - sum (a - p)^2 / sum a^2``, uncentred: predicting no change scores 0; best is 1), ``correlation``, and the
        nulls ``sign_agreement_null``, ``r2_null`` (mean and 95% range over shuffles). Intervals resample edges.
    """
    predicted, actual = np.asarray(predicted, float), np.asarray(actual, float)
    if not len(actual):
        return dict.fromkeys(AGREEMENT, Score.undefined("no edge could be tested", 0))
    random = np.random.default_rng(seed)
    moved = actual != 0
    agrees = (np.sign(predicted) == np.sign(actual)) & moved

    def r2(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1 - (weights @ (actual - predicted) ** 2) / (weights @ actual**2)

    def correlation(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            p, a = weights @ predicted / total, weights @ actual / total
            cov = weights @ (predicted * actual) / total - p * a
            spread = (weights @ predicted**2 / total - p**2) * (weights @ actual**2 / total - a**2)
            return cov / np.sqrt(spread)

    shuffles = [random.permutation(len(actual)) for _ in range(n_shuffles)]
    null_sign = [
        np.mean((np.sign(predicted[s]) == np.sign(actual))[moved]) if moved.any() else np.nan for s in shuffles
    ]
    total = np.sum(actual**2)
    null_r2 = [1 - np.sum((actual - predicted[s]) ** 2) / total if total else np.nan for s in shuffles]
    n = len(actual)
    return {
        "sign_agreement": bootstrap_ratio(agrees.astype(float), moved.astype(float), seed=seed),
        "r2": bootstrap(r2, n, seed=seed),
        "correlation": bootstrap(correlation, n, seed=seed),
        "sign_agreement_null": _null(null_sign),
        "r2_null": _null(null_r2),
    }


AGREEMENT = ("sign_agreement", "r2", "correlation", "sign_agreement_null", "r2_null")


def _null(draws: list[float]) -> Score:
    values = np.array(draws)
    values = values[np.isfinite(values)]
    if not len(values):
        return Score.undefined("no output feature changed")
    low, high = np.quantile(values, [0.025, 0.975])
    return Score(float(values.mean()), float(low), float(high), len(values))
