"""Information without training: nearest neighbours and canonical correlations. All values in nats.

Axis glossary: ``sample`` independent draws, ``x_dimension`` and ``y_dimension``, ``variate`` canonical directions.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.special import digamma

X = Float[np.ndarray, "sample x_dimension"]
Y = Float[np.ndarray, "sample y_dimension"]
TrainX = Float[np.ndarray, "train x_dimension"]
TrainY = Float[np.ndarray, "train y_dimension"]
Values = Float[np.ndarray, "any_sample any_dimension"]


def ksg(x: X, y: Y, *, neighbours: int = 5) -> Float[np.ndarray, " sample"]:
    """Kraskov, Stoegbauer & Grassberger 2004, estimator 1: the local terms whose mean is the estimate.

    ``psi(k) + psi(N) - psi(n_x + 1) - psi(n_y + 1)``, n_x and n_y the neighbours of a sample nearer than its k-th joint
    neighbour (maximum norm). Works for few dimensions; it uses all samples, there is nothing to hold out.
    """
    joint = np.concatenate([x, y], 1)
    distance = KDTree(joint).query(joint, k=neighbours + 1, p=np.inf)[0][:, -1]
    radius = np.nextafter(distance, 0)
    n_x = KDTree(x).query_ball_point(x, radius, p=np.inf, return_length=True) - 1
    n_y = KDTree(y).query_ball_point(y, radius, p=np.inf, return_length=True) - 1
    return digamma(neighbours) + digamma(len(x)) - digamma(n_x + 1) - digamma(n_y + 1)


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
