"""Symbols through many layers of dropout, with and without re-encoding: a simulation with a real erasure code.

Axis glossary: ``trial`` independent cascades, ``layer`` depth, ``symbol`` the m neurons of a layer.

The code is Reed-Solomon over the integers modulo the prime 257: the k message symbols are the values of a polynomial of
degree < k at 0..k-1 and a layer sends its values at 0..m-1. Any k surviving symbols give back all m (Lagrange), fewer
give nothing: maximum distance separable. Decoding is not
assumed: it is done, and the decoded word is compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from eval.errors import UserError
from eval.measures.information.capacity import cascade_dropout, reencoding_failure
from toy.capacity.results import Cascade
from toy.configs.capacity import LARGEST_WIDTH as PRIME
from toy.safeguards import check_count, check_memory, check_share


def reed_solomon(points: Int[np.ndarray, "trial k"], values: Int[np.ndarray, "trial k"], width: int) -> np.ndarray:
    """The polynomial through ``(points, values)`` modulo 257, evaluated at ``0..width-1``: ``[trial width]``."""
    inverse = np.array([0] + [pow(a, -1, PRIME) for a in range(1, PRIME)])
    trials, k = points.shape
    targets = np.arange(width)
    out = np.zeros((trials, width), dtype=np.int64)
    for i in range(k):
        weight = np.ones((trials, width), dtype=np.int64)
        scale = np.ones(trials, dtype=np.int64)
        for j in range(k):
            if j != i:
                weight = weight * (targets[None] - points[:, j, None]) % PRIME
                scale = scale * (points[:, i] - points[:, j]) % PRIME
        out = (out + weight * (values[:, i] * inverse[scale] % PRIME)[:, None]) % PRIME
    return out


def _reencode(
    words: Int[np.ndarray, "trial symbol"], kept: Bool[np.ndarray, "trial symbol"], message: int
) -> Int[np.ndarray, "trial symbol"]:
    """Decode each word from its first ``message`` surviving symbols and send it anew (rows have enough survivors)."""
    points = np.argsort(~kept, axis=1, kind="stable")[:, :message]
    return reed_solomon(points, np.take_along_axis(words, points, 1), words.shape[1])


def simulate(
    width: int, message: int, dropout: float, n_layers: int, trials: int, *, seed: int = 0, decoded: int = 200
) -> Cascade:
    """Send messages through ``n_layers`` of dropout, uncoded and re-encoded at every layer.

    Args:
        width: m symbols per layer, at most 257.
        message: k message symbols.
        dropout: D, share of symbols erased per layer.
        trials: cascades simulated.
        decoded: how many of them are really encoded and decoded (the rest count survivors, which decides the same).
    """
    check_count(width, "m")
    check_count(n_layers, "layers")
    check_count(trials, "trials", 2)
    check_share(dropout, "D")
    if width > PRIME or not 1 <= message <= width:
        raise UserError(f"expected 1 <= k <= m <= {PRIME}; got k={message}, m={width}; change --message or --width")
    check_memory(trials * width * 24, f"{trials} cascades of width {width}")
    generator = np.random.default_rng(seed)
    alive, lost = np.ones((trials, width), bool), np.zeros(trials, bool)
    decoded = min(decoded, trials)
    first = generator.integers(PRIME, size=(decoded, message))
    sent = reed_solomon(np.tile(np.arange(message), (decoded, 1)), first, width)
    words, surviving, failed, wrong = sent, [], [], 0
    for _ in range(n_layers):
        kept = generator.random((trials, width)) >= dropout
        alive &= kept
        lost |= kept.sum(1) < message
        surviving.append(float(alive.mean()))
        failed.append(float(lost.mean()))
        going = np.flatnonzero(~lost[:decoded])
        words[going] = _reencode(np.where(kept[:decoded], words, 0)[going], kept[going], message)
        wrong += int((words[going, :message] != first[going]).any(1).sum())
    return _beside_the_laws(surviving, failed, wrong, (width, message, dropout, trials))


def _beside_the_laws(
    surviving: list[float], failed: list[float], wrong: int, sizes: tuple[int, int, float, int]
) -> Cascade:
    width, message, dropout, trials = sizes
    layers = tuple(range(1, len(surviving) + 1))
    kept = [1 - cascade_dropout(dropout, n) for n in layers]
    failure = [reencoding_failure(width, message, dropout, n) for n in layers]
    kept_error = [math.sqrt(p * (1 - p) / (trials * width)) for p in kept]
    failure_error = [math.sqrt(p * (1 - p) / trials) for p in failure]
    return Cascade(
        layers,
        tuple(surviving),
        tuple(kept),
        tuple(kept_error),
        tuple(failed),
        tuple(failure),
        tuple(failure_error),
        wrong,
        width,
        message,
        dropout,
        trials,
        surviving_deviation=largest_deviation(surviving, kept, kept_error),
        failed_deviation=largest_deviation(failed, failure, failure_error),
    )


def largest_deviation(simulated: Sequence[float], law: Sequence[float], error: Sequence[float]) -> float:
    """Largest |simulated - law| in standard errors of the law; 0 where no error is positive."""
    rows = zip(simulated, law, error, strict=True)
    return max((abs(a - b) / scale for a, b, scale in rows if scale > 0), default=0.0)
