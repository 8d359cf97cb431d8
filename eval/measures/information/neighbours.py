"""Information from nearest neighbours, for continuous, discrete and mixed samples. All values in nats.

Axis glossary: ``sample`` independent draws, ``x_dimension`` and ``y_dimension``, ``dimension`` of either.

Kraskov's estimator [Kraskov, Stoegbauer & Grassberger 2004, estimator 1] counts neighbours in the margins within the
distance of the k-th joint neighbour. It presumes densities: where values repeat, the k-th neighbour lies at a distance
that many samples share. Here a sample whose k-th neighbour is tied counts everyone within that distance, in the joint
space and in both margins [Gao, Kannan, Oh & Viswanath 2017, algorithm 1, where the tied distance is 0]. For a message
of symbols, whose distances mean nothing, neighbours are sought among the samples of the same symbol [Ross 2014].
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from scipy.special import digamma
from scipy.stats import norm, rankdata

X = Float[np.ndarray, "sample x_dimension"]
Y = Float[np.ndarray, "sample y_dimension"]
Values = Float[np.ndarray, "sample dimension"]
Symbols = Int[np.ndarray, " sample"]
Terms = Float[np.ndarray, " sample"]
Counts = Int[np.ndarray, " sample"]


def normal_scores(values: Values) -> Values:
    """Each column's ranks as quantiles of a standard Gaussian (equal values get one score): the copula transform.

    Information does not change under strictly increasing maps of single columns; the estimate does, and tails stretched
    over many scales cost it most.
    """
    ranks = rankdata(values, axis=0)
    return norm.ppf((ranks - 0.5) / len(values))


def mixed_information_terms(x: X, y: Y, *, neighbours: int = 5) -> Terms:
    """The local terms whose mean is the estimate, for x and y that may hold continuous and repeated values alike.

    ``psi(K) + psi(N) - psi(N_x) - psi(N_y)``. Where the k-th neighbour is alone at its distance, K = k and N_x, N_y
    count the samples strictly nearer, with the sample itself (Kraskov's estimator 1); where it is tied, K, N_x and N_y
    count all within that distance, with the sample itself (Gao's). May be below 0 for samples that know nothing of each
    other.
    """
    joint = np.concatenate([x, y], 1)
    distance = KDTree(joint).query(joint, k=neighbours + 1, p=np.inf)[0][:, -1]
    near, far = _either_side(distance, joint)
    inside = _count(joint, far)
    tied = inside > neighbours + 1
    radius = np.where(tied, far, near)
    together = np.where(tied, inside, neighbours)
    return digamma(together) + digamma(len(x)) - digamma(_count(x, radius)) - digamma(_count(y, radius))


def symbol_information_terms(symbols: Symbols, y: Y, *, neighbours: int = 5) -> Terms:
    """The same for a message of symbols [Ross 2014]: the k-th neighbour is one of the same symbol.

    ``psi(K) + psi(N) - psi(N_s) - psi(M)``, N_s samples of the symbol, M all samples nearer than the k-th of them
    (K and M count all within the distance where it is tied). A symbol with n <= k samples uses k = n - 1; a symbol seen
    once tells nothing and gets 0.
    """
    terms = np.zeros(len(y))
    tree = KDTree(y)
    for symbol in np.unique(symbols):
        chosen = np.flatnonzero(symbols == symbol)
        k = min(neighbours, len(chosen) - 1)
        if k == 0:
            continue
        own = y[chosen]
        distance = KDTree(own).query(own, k=k + 1, p=np.inf)[0][:, -1]
        near, far = _either_side(distance, own)
        inside = _count(own, far)
        tied = inside > k + 1
        radius = np.where(tied, far, near)
        every = tree.query_ball_point(own, radius, p=np.inf, return_length=True)
        together = np.where(tied, inside, k)
        terms[chosen] = digamma(together) + digamma(len(y)) - digamma(len(chosen)) - digamma(every)
    return terms


def _either_side(distance: Terms, values: Values) -> tuple[Terms, Terms]:
    """The distance less and more what rounding of the values can add to it; never below 0."""
    rounding = 4 * np.finfo(float).eps * float(np.abs(values).max(initial=0.0))
    return np.maximum(distance - rounding, 0.0), distance + rounding


def _count(values: Values, radius: Terms) -> Counts:
    """Samples within each sample's radius, itself included."""
    if values.shape[1] == 1:  # sorted look-ups: a tree of one dimension is slow where radii are wide
        order = np.sort(values[:, 0])
        high = np.searchsorted(order, values[:, 0] + radius, side="right")
        return high - np.searchsorted(order, values[:, 0] - radius, side="left")
    return KDTree(values).query_ball_point(values, radius, p=np.inf, return_length=True)
