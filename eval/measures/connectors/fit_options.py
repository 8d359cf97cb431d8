"""How a connector is fitted: one declaration for scripts and commands; without torch, so that `--help` needs none."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, option

ACTIVATIONS = ("linear", "relu")


@dataclass(frozen=True, kw_only=True)
class ConnectorFit(Options):
    """How a connector is fitted: penalty, edges, steps. Updates are Adam; the penalty is a soft threshold, so that
    zeros are exact."""

    activation: str = option("relu", "of the connector", choices=ACTIVATIONS)
    l1: float = option(
        0.005, "penalty on |weight| x rms(input), in units of the output's rms, before edges are chosen", at_least=0
    )
    edges_per_output: int | None = option(
        32, "edges per output feature at most (none: what the penalty leaves)", at_least=1, formerly=("edges",)
    )
    minimum_share: float = option(0.0, "edges below this share |weight| x rms(input) / rms(output) go", at_least=0)
    steps: int = option(400, "gradient steps before edges are chosen", at_least=0)
    refit_steps: int = option(600, "gradient steps on the chosen edges, without penalty", at_least=0)
    fit_batch_size: int = option(1024, "tokens per gradient step", at_least=1)
    learning_rate: float = option(0.02, "Adam's learning rate at the start (cosine to 0)", above=0)
