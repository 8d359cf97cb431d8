"""How many bits does y tell about x? One interface, seven estimators, standardised, with an interval.

Axis glossary: ``sample`` independent draws of (x, y), ``dimension`` of y, ``variable`` of a continuous x, ``bit`` of a
binary message x.

With continuous x and an injective deterministic map the true value is infinite: use messages of k bits. Neural
estimators are not scale-invariant in practice (MINE falls from 1.95 to .83 nats when y is divided by 1000), so every
continuous input is centred and scaled in float64, before anything else, with the training part's mean and deviation.

What the interval means depends on the estimator. ``ksg``: 95% for the information, the estimator's own bias included
(`calibration` says how). ``gaussian``: the same under a joint Gaussian, and undefined where the data refute it.
``decoder``, ``infonce``, ``mine`` and ``smile`` are lower bounds: from the bound's own 97.5% lower end up to H(X), the
only thing known from above; with continuous x nothing is, and the interval is undefined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.information.critics import SMILE_CLIP, NetworkOptions, Pointwise, donsker_varadhan, infonce
from eval.measures.information.decoders import bit_log_likelihood, gaussian_log_likelihood, symbol_log_likelihood
from eval.measures.information.information_estimate import UNITS, InformationEstimate, bound_estimate
from eval.measures.information.untrained import gaussian_estimate, neighbour_estimate

ESTIMATORS = ("decoder", "mine", "smile", "infonce", "ksg", "gaussian")


def estimate_information(
    x: Any,
    y: Any,
    *,
    estimator: str | None = None,
    entropy: float | int | None = None,
    units: str = "bits",
    holdout: float = 0.3,
    standardise: bool = True,
    copula: bool = True,
    options: NetworkOptions | None = None,
    seed: int = 0,
) -> InformationEstimate:
    """Estimate the mutual information of paired samples.

    Args:
        x: the message: integers ``[sample]`` (symbols), integers 0/1 ``[sample bit]``, or floats ``[sample variable]``.
        y: the code, floats ``[sample dimension]``.
        estimator: one of `ESTIMATORS`; by default ``decoder`` for a discrete x of known entropy, else ``ksg``.
        entropy: H(X) in ``units``, differential for continuous x; needed by ``decoder``. Where it is given, no
            estimator for a discrete x reports more.
        units: ``bits`` or ``nats``, of everything passed and returned.
        holdout: share of samples the estimate is taken on; ``ksg`` uses all samples.
        standardise: switch off only to see what happens.
        copula: ``ksg`` works on each column's normal scores, which leaves the information as it is and the estimate
            nearer to it where tails are long.
        options: size and training of the networks.
        seed: of the split and the networks.

    Returns:
        The estimate, or its reason. A constant y has zero information.

    Raises:
        UserError: unknown estimator or units, lengths that differ, non-finite values, fewer than 50 samples, a decoder
            without entropy.
    """
    unit = UNITS[known_name(units, UNITS, "unit")]
    message, code = _checked(x, y)
    discrete = not message.is_floating_point()
    estimator = estimator or ("decoder" if discrete and entropy is not None else "ksg")
    known_name(estimator, ESTIMATORS, "estimator")
    if estimator == "decoder" and entropy is None:
        raise UserError("expected the entropy H(X) for the decoder bound; got none; pass entropy=k for k-bit messages")
    known = None if entropy is None else entropy * unit
    order = torch.randperm(len(code), generator=torch.Generator().manual_seed(seed))
    n_test = max(10, int(holdout * len(code)))
    test, train = order[:n_test], order[n_test:]
    if standardise:
        code, _ = _standardised(code, train)
        if not discrete:
            message, shift = _standardised(message, train)
            known = None if known is None else known - shift
    top = known if discrete else None
    if estimator == "ksg":
        return neighbour_estimate(message.numpy(), code.numpy(), units, top, copula=copula, seed=seed)
    if estimator == "gaussian":
        return gaussian_estimate(message.numpy(), code.numpy(), units, train=train.numpy(), test=test.numpy())
    parts = [(message[part], code[part].float()) for part in (train, test)]
    parts = [(values if discrete else values.float(), wide) for values, wide in parts]
    result = _raw(estimator, parts[0], parts[1], known, options or NetworkOptions(), seed)
    return bound_estimate(estimator, units, result.value, result.standard_error, top, len(test))


def _checked(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    message, code = torch.as_tensor(np.asarray(x)), torch.as_tensor(np.asarray(y)).double()
    code = code[:, None] if code.ndim == 1 else code
    if message.is_floating_point():
        message = (message[:, None] if message.ndim == 1 else message).double()
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
    return (wide - mean) / deviation, float(finite.log().sum())


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
    return infonce(plain[0], plain[1], options, seed)


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
