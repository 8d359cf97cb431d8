"""How smooth are the smoothest directions on text that did not choose them? Fitted on one half, measured on the other.

The exact minimum over a site's directions is a minimum over the sample too: with few tokens it is low by luck. Moments
are kept in groups of documents; the direction r that is smoothest on the even groups is measured on the odd ones, and
the other way round [cross-fitting],

    action = sum_g r^T D_g r / (2 sum_g r^T C_g r)        g: groups that did not choose r

with D and C as in `streamed_action`. The interval takes the chosen directions as given and the groups as drawn: with
e_g = r^T D_g r / 2 - action r^T C_g r it is Student's t of the sum of e_g over G groups. White noise gives 1.

Axis glossary: ``group`` of documents, ``width`` units of the site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from eval.errors import UserError
from eval.measures.projections.streamed_action import minimum_action_directions
from eval.measures.statistics.resampling import MINIMUM_GROUPS
from eval.scores import Score

LEAST_GROUPS = 6
"""With fewer groups of documents the interval would rest on a handful of numbers: it is undefined."""


@dataclass(frozen=True)
class GroupMoments:
    """Sums over groups of documents: of step and of activation outer products, of activations, their counts."""

    differences: Float[np.ndarray, "group width width"]
    second: Float[np.ndarray, "group width width"]
    first: Float[np.ndarray, "group width"]
    steps: Float[np.ndarray, " group"]
    frames: Float[np.ndarray, " group"]

    def of(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """D, C and the mean of some groups together."""
        mean = self.first[members].sum(0) / max(self.frames[members].sum(), 1)
        second = self.second[members].sum(0) - self.frames[members].sum() * np.outer(mean, mean)
        return self.differences[members].sum(0), second, mean


def held_out_minimum_action(moments: GroupMoments, n_documents: int, *, confidence: float = 0.95) -> Score:
    """Action per variance of the smoothest direction, on documents that did not choose it. In [0, 2]; lower is
    smoother; white noise gives 1.

    Args:
        moments: even groups are one half of the documents, odd groups the other.
        n_documents: behind them; below 20 the interval is undefined. confidence: nominal coverage, in (0, 1).

    Returns:
        ``Score`` with ``n`` documents. Undefined, with the reason, where a half has no step or fewer than one direction
        that varies; without an interval for fewer than six groups or too few documents.
    """
    used = np.flatnonzero(moments.steps > 0)
    halves = [used[used % 2 == side] for side in (0, 1)]
    if not all(len(half) for half in halves):
        reason = "one half of the documents has no step, so that nothing is measured out of sample; read more documents"
        return Score.undefined(reason, n_documents)
    action, variance = np.zeros(len(moments.steps)), np.zeros(len(moments.steps))
    for fitted, measured in (halves, halves[::-1]):
        differences, covariance, _ = moments.of(fitted)
        try:
            direction = minimum_action_directions(differences, covariance, 1)[0][:, 0]
        except UserError as error:
            return Score.undefined(str(error), n_documents)
        _, whole, mean = moments.of(measured)
        scale = float(direction @ whole @ direction)
        if scale <= 0:
            return Score.undefined("the direction chosen on one half does not vary on the other", n_documents)
        for group in measured:
            along, centre = float(moments.first[group] @ direction), float(mean @ direction)
            square = float(direction @ moments.second[group] @ direction)
            action[group] = float(direction @ moments.differences[group] @ direction) / 2 / scale
            variance[group] = (square - 2 * centre * along + moments.frames[group] * centre**2) / scale
    return _with_interval(action[used], variance[used], n_documents, confidence)


def _with_interval(action: np.ndarray, variance: np.ndarray, n_documents: int, confidence: float) -> Score:
    value, groups = float(action.sum() / variance.sum()), len(action)
    if n_documents < MINIMUM_GROUPS:
        reason = f"{n_documents} documents; an interval over documents needs at least {MINIMUM_GROUPS}"
        return Score(value, n=n_documents, interval_reason=reason)
    if groups < LEAST_GROUPS:
        reason = f"moments of {groups} groups of documents are kept; an interval needs at least {LEAST_GROUPS}"
        return Score(value, n=n_documents, interval_reason=reason)
    left = action - value * variance
    error = np.sqrt(groups / (groups - 1) * np.sum(left**2)) / variance.sum()
    half = float(t.ppf(0.5 + confidence / 2, groups - 1) * error)
    return Score(value, max(value - half, 0.0), value + half, n_documents)
