"""Information of joint Gaussians: canonical correlations and log density ratios. All values in nats.

Axis glossary: ``sample`` independent draws, ``x_dimension`` and ``y_dimension``, ``variate`` canonical directions.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

X = Float[np.ndarray, "sample x_dimension"]
Y = Float[np.ndarray, "sample y_dimension"]
TrainX = Float[np.ndarray, "train x_dimension"]
TrainY = Float[np.ndarray, "train y_dimension"]
Values = Float[np.ndarray, "any_sample any_dimension"]


def canonical_correlations(x: X, y: Y) -> Float[np.ndarray, " variate"]:
    """Correlations of the canonical variates, in [0, 1], descending; directions without variance are left out."""

    def whitened(values: Values) -> Float[np.ndarray, "any_sample variate"]:
        left, scale, _ = np.linalg.svd(values - values.mean(0), full_matrices=False)
        return left[:, scale > 1e-9 * max(scale.max(initial=0), 1e-300)]

    return np.clip(np.linalg.svd(whitened(x).T @ whitened(y), compute_uv=False), 0, 1)


def gaussian(train_x: TrainX, train_y: TrainY, x: X, y: Y) -> Float[np.ndarray, " sample"]:
    """Log-ratio ``log p(x, y) / p(x) p(y)`` of held-out samples under a Gaussian fitted to the training samples.

    Its mean is ``-1/2 sum log(1 - rho^2)`` over the canonical correlations when the data are Gaussian.
    """

    def log_density(
        fit: Float[np.ndarray, "train variable"], values: Float[np.ndarray, "sample variable"]
    ) -> Float[np.ndarray, " sample"]:
        covariance = np.cov(fit.T).reshape(fit.shape[1], -1)
        covariance += 1e-9 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        difference = np.linalg.solve(np.linalg.cholesky(covariance), (values - fit.mean(0)).T)
        return -0.5 * (np.square(difference).sum(0) + np.linalg.slogdet(covariance)[1])

    joint = log_density(np.concatenate([train_x, train_y], 1), np.concatenate([x, y], 1))
    return joint - log_density(train_x, x) - log_density(train_y, y)
