"""What `toy.dropout_channel` measures, as typed results. Information in bits unless a name says nats.

Axis glossary: ``seed`` networks, ``depth`` layers at which the information is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping

from eval.experiment import ExperimentResults, Measurement
from eval.result_json import measured, noted
from eval.results import Result, result
from eval.scores import Score


@result
class InformationCurve(Result):
    """Information by depth, `[seed depth]`, its mean over seeds, and the standard error of the mean.

    standard_error: between networks and of the estimates; `None` for a single network, whose spread is unknown.
    """

    by_seed: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]
    standard_error: tuple[float | None, ...]


@result
class SelfTest(Result):
    """One estimator on problems with a known answer: 2 nats, the same at scale .001, 0 nats, 3 bits.

    bits: within [0, H(X)], H(X) = 3, or undefined; bits_raw: as estimated, `None` for an estimator that discrete
    messages have no value under; nats_shuffled: as estimated.
    """

    estimator: str
    nats: Score = measured(n=None)
    standard_error: float
    nats_scaled: float | None = noted(key="nats at scale .001")
    nats_shuffled: float = noted(key="nats shuffled")
    bits: float | None = noted(key="bits of 3")
    bits_raw: float | None = noted(key="bits of 3, raw")
    bits_standard_error: float | None = noted(default=None, key="bits of 3, standard error")


@result
class DropoutChannelResult(Measurement):
    """Information through depth by condition, beside k(1-D)^(N+1) and the ceiling; estimators' self-tests.

    ceiling: min(k, m(1-D)), what the neurons that are left could carry; corrected: the same at every depth, the law of
    a layer that corrects its erasures.
    """

    table = "self_tests"

    bits: int
    width: int
    layers: int
    dropout: float
    seeds: int
    estimator: str
    depths: tuple[int, ...]
    curves: Mapping[str, InformationCurve]
    uncorrected: tuple[float, ...]
    corrected: tuple[float, ...]
    ceiling: float
    self_tests: tuple[SelfTest, ...]


DropoutChannelResults = ExperimentResults[DropoutChannelResult]
"""`results.json` of `python -m toy dropout-channel`."""
