"""How much can a code carry? Closed forms of coding theory for sparse features, dropout and power-law spectra, in bits.

Axis glossary: ``level`` the M = 2^C values a neuron can take, ``input``/``output`` letters of a channel, ``index`` the
rank of an eigenvalue (1-based), ``layer`` depth.

Source: [MK] Marshall & Kirchner 2023, *Understanding polysemanticity in neural networks through coding theory*. Two of
its formulae are only bounds or asymptotics; where the exact value is known this module returns the exact value, and the
printed form has its own function with ``printed`` in the name. Every entropy, capacity and loss here is in **bits**.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.special import gammaln
from scipy.stats import binom, norm

from eval.errors import UserError

Number = int | float
CONVENTIONS = ("standard_deviations", "eigenvalues")


def _share(value: Number, name: str, *, closed_top: bool = True) -> float:
    """``value`` itself where it is a probability, else one clear line."""
    top = value <= 1 if closed_top else value < 1
    if not (0 <= value and top):
        interval = "[0, 1]" if closed_top else "[0, 1)"
        raise UserError(f"expected {name} in {interval}; got {value:g}; give it as a share, not a percentage")
    return float(value)


def _positive(value: Number, name: str, unit: str) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise UserError(f"expected {name} > 0 {unit}; got {value:g}; choose a positive, finite {name}")
    return float(value)


def _count(value: Number, name: str, minimum: int = 1) -> int:
    if value != int(value) or value < minimum:
        raise UserError(f"expected {name} a whole number >= {minimum}; got {value:g}; choose at least {minimum}")
    return int(value)


def binary_entropy(share: Number) -> float:
    """How uncertain is one yes/no? ``h(p) = -p log2 p - (1-p) log2(1-p)``; 0 at p = 0 and 1, 1 bit at p = 1/2."""
    share = _share(share, "a probability")
    return 0.0 if share in (0.0, 1.0) else -share * math.log2(share) - (1 - share) * math.log2(1 - share)


def sparse_entropy(n_features: int, sparsity: Number, element_entropy: Number) -> float:
    """How many bits does a sparse vector hold?

    ``H(X^S) = n [h(S) + (1 - S) H]`` [MK Lemma 2]: which features are on, and the value of those that are. (The last
    lines of the printed proof have sign slips; the lemma is right.)

    Args:
        n_features: number of features n >= 1.
        sparsity: S, the probability that a feature is zero, in [0, 1].
        element_entropy: H, bits of one active feature's value, >= 0. At S=1 the entropy is 0.
    """
    n_features = _count(n_features, "n")
    if not element_entropy >= 0:
        raise UserError(f"expected H >= 0 bits; got {element_entropy:g}; H is the entropy of one active feature")
    return n_features * (binary_entropy(sparsity) + (1 - sparsity) * element_entropy)


def compression_rate(sparsity: Number, element_entropy: Number) -> float:
    """How many dimensions does a feature need at least, relative to a dense one?

    ``R = 1 - S + h(S)/H`` [MK eq. 1], the ratio of the sparse to the dense entropy. A **lower bound** on dimensions per
    feature ``m/||W||_F^2``, not a fit. 1 at S=0 and 0 at S=1; above 1 for small S, where naming the active
    positions costs more than leaving the others out saves.

    Args:
        sparsity: S in [0, 1].
        element_entropy: H in bits, > 0.
    """
    return 1 - _share(sparsity, "S") + binary_entropy(sparsity) / _positive(element_entropy, "H", "bits")


def informative_sparsity(n_features: int, n_hidden: int, element_entropy: Number) -> float:
    """Up to which sparsity does the compression bound say anything?

    Dimensions per feature of a model with m hidden units cannot fall below about m/n, so ``R(S) < m/n`` is no
    constraint. Returns the largest S with ``R(S) >= m/n``; the bound is informative for sparsities below it. 0 where
    ``m >= n`` and R never exceeds it.
    """
    floor = _count(n_hidden, "m") / _count(n_features, "n")
    low = 2.0 ** -_positive(element_entropy, "H", "bits")  # R has its maximum where (1-S)/S = 2^H
    peak = low / (1 + low)
    if compression_rate(peak, element_entropy) < floor:
        return 0.0
    return float(root_scalar(lambda s: compression_rate(s, element_entropy) - floor, bracket=(peak, 1.0)).root)


def dropout_capacity(n_levels: int, dropout: Number) -> float:
    """How many bits does one neuron get through dropout, exactly?

    A neuron takes one of M levels, one of them zero; dropout sets it to zero with probability D, so an erased neuron
    looks like a silent one. Maximising ``h(q(1-D)) + q(1-D) log2(M-1) - q h(D)`` over the share q of non-zero letters
    gives, with M = 2^C levels [MK Theorem 3, where only bounds are given],

    - ``(1-D) log2(M-1)`` where ``M-1 >= D^(-1/(1-D))`` (zero is best never sent),
    - ``log2(1 + (M-1)(1-D) D^(D/(1-D)))`` otherwise.

    D=0 gives ``log2 M``, D=1 gives 0. Range [0, log2 M] bits per neuron; higher is better.
    """
    n_levels, dropout = _count(n_levels, "M"), _share(dropout, "D")
    if n_levels == 1 or dropout == 1:
        return 0.0
    if dropout == 0:
        return math.log2(n_levels)
    keep = 1 - dropout
    if math.log(n_levels - 1) >= -math.log(dropout) / keep:
        return keep * math.log2(n_levels - 1)
    return math.log2(1 + (n_levels - 1) * keep * dropout ** (dropout / keep))


def dropout_capacity_bounds(n_levels: int, dropout: Number) -> tuple[float, float]:
    """Between which simple values does the dropout capacity lie?

    Below: never send zero, ``(1-D) log2(M-1)``. Above: an erasure that announces itself, ``(1-D) log2 M = C(1-D)``,
    the value [MK] uses for one layer. Both are loose for few levels (M=2: 0 and 1-D).
    """
    n_levels, dropout = _count(n_levels, "M", 2), _share(dropout, "D")
    return (1 - dropout) * math.log2(n_levels - 1), (1 - dropout) * math.log2(n_levels)


def dropout_channel(n_levels: int, dropout: Number) -> Float[np.ndarray, "input output"]:
    """The transition matrix ``P(output | input)`` of a neuron under dropout; letter 0 is silence."""
    n_levels, dropout = _count(n_levels, "M"), _share(dropout, "D")
    channel = (1 - dropout) * np.eye(n_levels)
    channel[:, 0] += dropout
    return channel


def cascade_dropout(dropout: Number, n_layers: int) -> float:
    """The dropout of N layers in a row without re-encoding: ``D_N = 1 - (1-D)^N``."""
    return 1 - (1 - _share(dropout, "D")) ** _count(n_layers, "N", 0)


def cascade_capacity(capacity: Number, dropout: Number, n_layers: int, *, corrected: bool) -> float:
    """How many of C bits reach layer N through dropout at every layer? [MK Fig. 2b, c]

    ``C (1-D)^N`` without error correction; ``C (1-D)`` with it, at any depth, asymptotically in width. For a finite
    width see `finite_width_capacity`; for neurons whose erasures look like silence see `dropout_capacity` at
    `cascade_dropout`.
    """
    keep = 1 - _share(dropout, "D")
    n_layers = _count(n_layers, "N", 0)
    if not capacity >= 0:
        raise UserError(f"expected C >= 0 bits; got {capacity:g}; C is the capacity of one layer")
    return capacity * keep ** (min(n_layers, 1) if corrected else n_layers)


def reencoding_failure(width: int, message: int, dropout: Number, n_layers: int = 1) -> float:
    """How often does a re-encoding cascade lose its message?

    Each layer erases each of m symbols with probability D and re-encodes k message symbols with a maximum-distance-
    separable code, which fails exactly when more than m-k symbols are erased: ``p = P(Binomial(m, D) > m - k)`` per
    layer and ``1 - (1-p)^N`` after N layers. Range [0, 1], lower is better.
    """
    width, message = _count(width, "m"), _count(message, "k")
    if message > width:
        raise UserError(f"expected k <= m message symbols; got k={message}, m={width}; widen the layer")
    per_layer = float(binom.sf(width - message, width, _share(dropout, "D")))
    return -math.expm1(_count(n_layers, "N", 0) * math.log1p(-per_layer)) if per_layer < 1 else 1.0


def finite_width_capacity(width: int, dropout: Number, failure: Number) -> float:
    """How many symbols can a layer of m carry with a given failure rate?

    ``m(1-D) - sqrt(m D (1-D)) Q^-1(eps)``, the normal approximation of the binomial tail; not below 0. Tends to m(1-D)
    in relative terms as m grows, which is what "C(1-D) with correction" means.
    """
    width, dropout = _count(width, "m"), _share(dropout, "D")
    if not 0 < failure < 1:
        raise UserError(f"expected a failure rate in (0, 1); got {failure:g}; choose e.g. .01")
    return max(0.0, width * (1 - dropout) - math.sqrt(width * dropout * (1 - dropout)) * float(norm.isf(failure)))


def _check_convention(convention: str) -> float:
    """Factor on alpha that turns it into an exponent of standard deviations."""
    if convention not in CONVENTIONS:
        raise UserError(f"expected a convention of {', '.join(CONVENTIONS)}; got {convention!r}; choose one of them")
    return 1.0 if convention == "standard_deviations" else 0.5


def power_law_loss(n_dimensions: int, exponent: Number, convention: str = "standard_deviations") -> float:
    """How many bits does a power-law code lose against a flat one, exactly?

    ``-alpha log2 m!`` for standard deviations ``i^alpha`` [MK Theorem 4: sum_i log2(2^n i^alpha) = mn + alpha log2 m!].
    With the fitted **eigenvalue** exponent (variances ``i^alpha``) the loss halves: name the convention. alpha <= 0
    gives a loss >= 0; alpha = 0 loses nothing.
    """
    factor = _check_convention(convention)
    n_dimensions = _count(n_dimensions, "m")
    return -factor * float(exponent) * float(gammaln(n_dimensions + 1)) / math.log(2)


def power_law_loss_printed(n_dimensions: int, exponent: Number, convention: str = "standard_deviations") -> float:
    """The Stirling form ``|alpha| m log2(m/e)`` that [MK] prints: low by about ``|alpha| log2 sqrt(2 pi m)``."""
    n_dimensions = _count(n_dimensions, "m")
    return _check_convention(convention) * abs(exponent) * n_dimensions * math.log2(n_dimensions / math.e)


def reverse_water_filling(variances: Float[np.ndarray, " index"], distortion: Number) -> float:
    """How many bits does a Gaussian code of these variances need at a total squared error?

    ``sum_i max(0, 1/2 log2(variance_i / level))`` with the water level that spends ``distortion``
    [Cover & Thomas 2006, 10.3.3]: unlike Theorem 4's sum, directions below the level cost nothing, never less.

    Args:
        variances: eigenvalues >= 0, any order.
        distortion: total mean squared error, > 0. At or above the total variance the rate is 0.
    """
    variances = np.asarray(variances, dtype=float)
    if variances.size == 0 or not np.isfinite(variances).all() or (variances < 0).any():
        raise UserError(
            "expected non-negative, finite variances; got none, negative or non-finite ones; pass a spectrum"
        )
    _positive(distortion, "distortion", "(total squared error)")
    if distortion >= variances.sum():
        return 0.0
    excess = root_scalar(lambda x: np.minimum(variances, x).sum() - distortion, bracket=(0.0, variances.max()))
    level = float(excess.root)
    return float(np.maximum(0.0, 0.5 * np.log2(np.maximum(variances, level) / level)).sum())


@dataclass(frozen=True)
class ChannelCapacity:
    """Capacity in bits, with the lower and upper bound at which the iteration stopped and the best input letters."""

    capacity: float
    low: float
    high: float
    input_distribution: Float[np.ndarray, " input"]
    iterations: int
    converged: bool


def blahut_arimoto(
    channel: Float[np.ndarray, "input output"], *, tolerance: Number = 1e-7, max_iterations: int = 200_000
) -> ChannelCapacity:
    """What is the capacity of any discrete memoryless channel? The oracle for the closed forms.

    Blahut-Arimoto [Cover & Thomas 2006, 10.8]: reweight the input letters by ``2^KL(P(.|x) || P(.))`` until the mean
    and the largest divergence, which enclose the capacity, differ by less than ``tolerance`` bits.

    Raises:
        UserError: a channel that is not a matrix of probability rows.
    """
    channel = np.asarray(channel, dtype=float)
    if channel.ndim != 2 or (channel < 0).any() or not np.allclose(channel.sum(-1), 1):
        raise UserError("expected a matrix of P(output | input) with rows that sum to 1; got something else; normalise")
    letters = np.full(len(channel), 1 / len(channel))
    log_channel = np.log2(np.where(channel > 0, channel, 1.0))
    low = high = 0.0
    for iteration in range(1, max_iterations + 1):
        output = letters @ channel
        log_output = np.log2(np.where(output > 0, output, 1.0))
        divergence = (channel * (log_channel - log_output)).sum(-1)
        low, high = float(letters @ divergence), float(divergence.max())
        if high - low < tolerance:
            return ChannelCapacity((low + high) / 2, low, high, letters, iteration, True)
        letters = letters * np.exp2(divergence - high)
        letters /= letters.sum()
    return ChannelCapacity((low + high) / 2, low, high, letters, max_iterations, False)
