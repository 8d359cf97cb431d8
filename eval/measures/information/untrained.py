"""Estimates that train no network: nearest neighbours with a calibrated interval, and joint Gaussians.

Axis glossary: ``sample`` independent draws of (x, y), ``column`` of both side by side.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

from eval.measures.information.calibration import XTable, YTable, calibrate
from eval.measures.information.classical import gaussian
from eval.measures.information.information_estimate import UNITS, InformationEstimate, scored
from eval.measures.information.neighbours import mixed_information_terms, normal_scores, symbol_information_terms
from eval.scores import Score

NEIGHBOURS = 5
REFUTED = 1e-3
"""p value of the Kolmogorov-Smirnov test below which the data are taken not to be Gaussian."""
Table = Float[np.ndarray, "sample column"]
Message = Shaped[np.ndarray, "sample ..."]


def neighbour_estimate(
    message: Message, code: YTable, units: str, top: float | None, *, copula: bool, seed: int
) -> InformationEstimate:
    """``ksg``: symbols by Ross, real (and partly repeated) messages by Gao's mixture of Kraskov's estimator."""
    discrete = bool(np.issubdtype(message.dtype, np.integer))
    x = _symbols(message) if discrete else normal_scores(message) if copula else message
    y = normal_scores(code) if copula else code
    estimator = _symbol_information if discrete else _mixed_information
    found = calibrate(x, y, estimator, symbols=discrete, neighbours=NEIGHBOURS, seed=seed)
    n, unit = len(y), UNITS[units]
    if found is None:
        reason = "almost no two samples share a symbol or a pattern of repeated values: draw more, or send fewer bits"
        return InformationEstimate("ksg", units, Score.undefined(reason, n), math.nan, math.nan)
    score = scored(found.value, found.low, found.high, top, n, units)
    return InformationEstimate("ksg", units, score, found.raw / unit, found.spread / unit, found.bias / unit)


def _symbols(message: Message) -> XTable:
    """The message's rows numbered, as one column."""
    _, symbols = np.unique(message.reshape(len(message), -1), axis=0, return_inverse=True)
    return symbols.reshape(-1, 1).astype(float)


def _symbol_information(x: XTable, y: YTable, neighbours: int) -> float:
    return float(symbol_information_terms(x[:, 0].astype(int), y, neighbours=neighbours).mean())


def _mixed_information(x: XTable, y: YTable, neighbours: int) -> float:
    return float(mixed_information_terms(x, y, neighbours=neighbours).mean())


def gaussian_estimate(
    message: Message, code: YTable, units: str, *, train: np.ndarray, test: np.ndarray
) -> InformationEstimate:
    """``gaussian``: the held-out log density ratio, plus what a fit of this size loses on new samples.

    That loss is ``d_x d_y / 2 n`` nats, half a nat over n per fitted cross-covariance. Undefined for a discrete message
    and where the held-out Mahalanobis distances are not those of a Gaussian: the formula then says nothing.
    """
    n, unit = len(test), UNITS[units]

    def undefined(reason: str) -> InformationEstimate:
        return InformationEstimate("gaussian", units, Score.undefined(reason, n), math.nan, math.nan)

    if np.issubdtype(message.dtype, np.integer):
        return undefined("the message is discrete, and the formula is for a joint Gaussian: use ksg or decoder")
    p = _gaussian_fits(np.concatenate([message, code], 1), train, test)
    if p < REFUTED:
        return undefined(f"the samples are not jointly Gaussian (Kolmogorov-Smirnov p = {p:.1g}): use ksg")
    terms = gaussian(message[train], code[train], message[test], code[test])
    raw, error = float(terms.mean()), float(terms.std(ddof=1) / math.sqrt(n))
    bias = -message.shape[1] * code.shape[1] / (2 * len(train))
    score = scored(raw - bias, raw - bias - 1.96 * error, raw - bias + 1.96 * error, None, n, units)
    return InformationEstimate("gaussian", units, score, raw / unit, error / unit, bias / unit)


def _gaussian_fits(table: Table, train: np.ndarray, test: np.ndarray) -> float:
    """p value of the held-out squared Mahalanobis distances against chi-square; 1 where no column varies."""
    varying = table[:, table[train].std(0) > 0]
    if varying.shape[1] == 0:
        return 1.0
    mean, covariance = varying[train].mean(0), np.atleast_2d(np.cov(varying[train].T))
    inverse = np.linalg.pinv(covariance, hermitian=True)
    centred = varying[test] - mean
    distances = np.einsum("sc,cd,sd->s", centred, inverse, centred)
    return float(stats.kstest(distances, stats.chi2(np.linalg.matrix_rank(covariance)).cdf).pvalue)
