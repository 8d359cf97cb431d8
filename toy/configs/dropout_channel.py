"""Configuration of `python -m toy dropout-channel`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class DropoutChannelConfig(RunConfig):
    """Information through a very deep network: trained with dropout, without, and untrained; estimator self-tests."""

    bits: int = option(6, "k, bits of the message")
    width: int = option(24, "m, neurons per layer")
    layers: int = option(12, "depth N")
    dropout: float = option(0.2, "D, share of neurons erased at every layer")
    seeds: int = option(2, "networks per condition")
    steps: int = option(2000, "training steps")
    learning_rate: float = option(5e-3, "learning rate")
    samples: int = option(6000, "messages sent to estimate the information of a layer")
    decoder_steps: int = option(800, "training steps of a decoder")
    depths: int = option(5, "layers at which the information is estimated")
    estimator: str = option("decoder", "decoder, mine, smile, infonce, ksg or gaussian")
    self_test_samples: int = option(16_000, "correlated Gaussian pairs for the estimator self-tests")
    self_test_steps: int = option(1500, "training steps of the estimators in the self-tests")


FULL = {"layers": 30, "seeds": 5, "steps": 8000, "samples": 20_000, "decoder_steps": 3000, "depths": 10}
