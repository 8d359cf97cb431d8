"""Options of `python -m toy dropout-channel`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, SeededConfig, nested, option

ESTIMATORS = ("decoder", "mine", "smile", "infonce", "ksg", "gaussian")
"""As in `eval.measures.information`, which imports torch; a test holds them equal."""


@dataclass(frozen=True, kw_only=True)
class DropoutChannelOptions(Options):
    """The deep network, the estimate of its information, the estimators' self-tests."""

    bits: int = option(6, "k, bits of the message", at_least=1, at_most=62)
    width: int = option(24, "m, neurons per layer", at_least=1)
    layers: int = option(12, "depth N", at_least=1)
    dropout: float = option(0.2, "D, share of neurons erased at every layer", at_least=0, below=1)
    seeds: int = option(4, "networks per condition", at_least=1)
    steps: int = option(2000, "training steps", at_least=1)
    learning_rate: float = option(5e-3, "learning rate", above=0, at_most=1000)
    samples: int = option(6000, "messages sent to estimate the information of a layer", at_least=100)
    decoder_steps: int = option(800, "training steps of a decoder", at_least=1)
    depths: int = option(5, "layers at which the information is estimated", at_least=2)
    estimator: str = option("decoder", "estimate of the information", choices=ESTIMATORS)
    self_test_samples: int = option(16_000, "correlated Gaussian pairs for the estimator self-tests", at_least=100)
    self_test_steps: int = option(1500, "training steps of the estimators in the self-tests", at_least=1)

    def validate(self) -> None:
        if self.bits > self.width:
            raise UserError(
                f"expected --bits at most --width; got {self.bits} bits and {self.width} neurons; widen the network"
            )


@dataclass(frozen=True, kw_only=True)
class DropoutChannelConfig(SeededConfig):
    """Information through a very deep network: trained with dropout, without, and untrained; estimator self-tests."""

    channel: DropoutChannelOptions = nested(DropoutChannelOptions())


FULL = {"layers": 30, "seeds": 5, "steps": 8000, "samples": 20_000, "decoder_steps": 3000, "depths": 10}
