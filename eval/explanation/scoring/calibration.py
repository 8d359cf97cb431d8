"""Calibration: a map from predicted to true activations, fitted on the calibrate documents only.

``none`` leaves the prediction. ``linear`` is least squares a = slope p + intercept. ``percentile`` maps the quantiles
of the predictions to those of the true activations (a monotone map: it cannot turn a wrong order right).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from eval.errors import known_name

CALIBRATIONS = ("none", "linear", "percentile")
Map = Callable[[np.ndarray], np.ndarray]


def fit_calibration(
    method: str, predicted: Float[np.ndarray, " token"], truth: Float[np.ndarray, " token"]
) -> tuple[Map, str | None]:
    """The map, and why it is the identity although another was asked for (constant or too few predictions)."""
    known_name(method, CALIBRATIONS, "calibration")
    ok = np.isfinite(predicted) & np.isfinite(truth)
    p, a = np.asarray(predicted, float)[ok], np.asarray(truth, float)[ok]
    if method == "none":
        return lambda x: x, None
    if len(p) < 10 or np.ptp(p) == 0:
        return lambda x: x, "fewer than 10 calibration tokens, or a constant prediction: left uncalibrated"
    if method == "linear":
        slope, intercept = np.polyfit(p, a, 1)
        return lambda x: slope * np.asarray(x) + intercept, None
    quantiles = np.linspace(0, 1, 101)
    of_p, first = np.unique(np.quantile(p, quantiles), return_index=True)
    last = np.r_[first[1:], len(quantiles)] - 1
    of_a = np.quantile(a, quantiles)
    middle = np.array([of_a[i : j + 1].mean() for i, j in zip(first, last, strict=True)])
    return lambda x: np.interp(x, of_p, middle), None
