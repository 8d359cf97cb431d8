"""How many bits does y tell about x? One interface, six estimators, held out, standardised, with an interval.

Axis glossary: ``sample`` independent draws of (x, y), ``dimension`` of y, ``variable`` of a continuous x, ``bit`` of a
binary message x.

With continuous x and an injective deterministic map the true value is infinite: use messages of k bits. Neural
estimators are not scale-invariant in practice (MINE falls from 1.95 to .83 nats when y is divided by 1000), so every
continuous input is standardised with the training part's mean and deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.information.classical import gaussian, ksg
from eval.measures.information.critics import SMILE_CLIP, NetworkOptions, Pointwise, donsker_varadhan, infonce
from eval.measures.information.decoders import bit_log_likelihood, gaussian_log_likelihood, symbol_log_likelihood
from eval.scores import Score

ESTIMATORS = ("decoder", "mine", "smile", "infonce", "ksg", "gaussian")
UNITS = {"bits": math.log(2), "nats": 1.0}


@dataclass(frozen=True)
class InformationEstimate:
    """The estimate and what it was before it was held to its range.

    score: value and 95% interval, within [0, H(X)]; n is the number of held-out samples.
    raw: the estimator's own value, which may be below 0 or, for a critic, above H(X).
    standard_error: of the raw value over held-out samples (the trained network taken as given).
    """

    estimator: str
    units: str
    score: Score
    raw: float
    standard_error: float


def estimate_information(
    x: Any,
    y: Any,
    *,
    estimator: str = "decoder",
    entropy: float | int | None = None,
    units: str = "bits",
    holdout: float = 0.3,
    standardise: bool = True,
    options: NetworkOptions | None = None,
    seed: int = 0,
) -> InformationEstimate:
    """Estimate the mutual information of paired samples.

    Args:
        x: the message: integers ``[sample]`` (symbols), integers 0/1 ``[sample bit]``, or floats ``[sample variable]``.
        y: the code, floats ``[sample dimension]``.
        estimator: one of `ESTIMATORS`.
        entropy: H(X) in ``units``, differential for continuous x; needed by ``decoder``. Where it is given, no
            estimator for a discrete x reports more.
        units: ``bits`` or ``nats``, of everything passed and returned.
        holdout: share of samples the estimate is taken on; ``ksg`` uses all samples.
        standardise: switch off only to see what happens.
        options: size and training of the networks.
        seed: of the split and the networks.

    Returns:
        The estimate, at least 0. A constant y has zero information.

    Raises:
        UserError: unknown estimator or units, lengths that differ, non-finite values, fewer than 50 samples, a decoder
            without entropy.
    """
    known_name(estimator, ESTIMATORS, "estimator")
    unit = UNITS[known_name(units, UNITS, "unit")]
    message, code = _checked(x, y)
    if estimator == "decoder" and entropy is None:
        raise UserError("expected the entropy H(X) for the decoder bound; got none; pass entropy=k for k-bit messages")
    known = None if entropy is None else entropy * unit
    order = torch.randperm(len(code), generator=torch.Generator().manual_seed(seed))
    n_test = max(10, int(holdout * len(code)))
    test, train = order[:n_test], order[n_test:]
    discrete = not message.is_floating_point()
    if standardise:
        code, _ = _standardised(code, train)
        if not discrete:
            message, shift = _standardised(message, train)
            known = None if known is None else known - shift
    chosen = options or NetworkOptions()
    result = _raw(estimator, (message[train], code[train]), (message[test], code[test]), known, chosen, seed)
    return _held_to_range(estimator, units, result, known if discrete else None, len(test))


def _checked(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    message, code = torch.as_tensor(np.asarray(x)), torch.as_tensor(np.asarray(y)).float()
    code = code[:, None] if code.ndim == 1 else code
    if message.is_floating_point():
        message = (message[:, None] if message.ndim == 1 else message).float()
    else:
        message = message.long()
    if len(message) != len(code):
        raise UserError(f"expected one y per x; got {len(message)} x and {len(code)} y; pair the samples")
    if len(code) < 50:
        raise UserError(f"expected at least 50 samples; got {len(code)}; draw more")
    if not bool(torch.isfinite(code).all()) or not bool(torch.isfinite(message).all()):
        raise UserError("expected finite samples; got NaN or infinity; check what produced them")
    return message, code


def _standardised(values: Tensor, train: Tensor) -> tuple[Tensor, float]:
    """Values with zero mean and unit deviation on the training part, and by how much that lowers their entropy."""
    # float64: a column of deviation 1e-6 around a mean of 1 must not drown in rounding
    wide = values.double()
    mean, deviation = wide[train].mean(0), wide[train].std(0)
    deviation = torch.where(deviation > 1e-12 * mean.abs().clamp_min(1e-300), deviation, torch.inf)
    finite = deviation[torch.isfinite(deviation)]
    return ((wide - mean) / deviation).float(), float(finite.log().sum())


def _as_float(message: Tensor) -> Tensor:
    """A message as real numbers for estimators that need them: bits as -1/1, symbols as one column."""
    if message.is_floating_point():
        return message
    return 2 * message.float() - 1 if message.ndim == 2 else message.float()[:, None]


def _raw(
    estimator: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    entropy: float | None,
    options: NetworkOptions,
    seed: int,
) -> Pointwise:
    """The estimator's own value in nats."""
    if estimator == "decoder":
        assert entropy is not None
        return Pointwise.mean_of(entropy + _log_likelihood(train, test, options, seed))
    plain = [(_as_float(message), code) for message, code in (train, test)]
    if estimator in ("mine", "smile"):
        clip = SMILE_CLIP if estimator == "smile" else None
        return donsker_varadhan(plain[0], plain[1], options, seed, clip=clip)
    if estimator == "infonce":
        return infonce(plain[0], plain[1], options, seed)
    arrays = [(message.double().numpy(), code.double().numpy()) for message, code in plain]
    if estimator == "gaussian":
        return Pointwise.mean_of(torch.from_numpy(gaussian(*arrays[0], *arrays[1])))
    both = [np.concatenate(parts) for parts in zip(*arrays, strict=True)]
    return Pointwise.mean_of(torch.from_numpy(ksg(both[0], both[1])))


def _log_likelihood(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], options: NetworkOptions, seed: int
) -> Tensor:
    """Held-out log q(x | y) of the decoder that fits the kind of message."""
    message = train[0]
    if message.is_floating_point():
        return gaussian_log_likelihood(train, test, options, seed)
    if message.ndim == 2:
        return bit_log_likelihood(train, test, options, seed)
    n_symbols = int(torch.cat([message, test[0]]).max()) + 1
    return symbol_log_likelihood(train, test, n_symbols, options, seed)


def _held_to_range(
    estimator: str, units: str, result: Pointwise, entropy: float | None, n_test: int
) -> InformationEstimate:
    """Into the unit, and into [0, H(X)]: information is never negative and never more than there was to know."""
    unit, top = UNITS[units], math.inf if entropy is None else entropy

    def clipped(value: float) -> float:
        return min(max(value, 0.0), top) / unit

    half = 1.96 * result.standard_error
    score = Score(clipped(result.value), clipped(result.value - half), clipped(result.value + half), n_test)
    return InformationEstimate(estimator, units, score, result.value / unit, result.standard_error / unit)
