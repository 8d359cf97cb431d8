"""Options of `python -m toy incidental`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from eval.errors import UserError
from eval.options import Options, SeededConfig, nested, option
from eval.presets import Preset

NOISES = ("rademacher", "uniform", "gaussian", "laplace", "t")
"""As in `toy.incidental.noise`, which imports torch; a test holds them equal."""


def parse_size(text: str) -> tuple[int, int]:
    """`64x128` as (64, 128): features and hidden units.

    Raises `UserError` for anything else, fewer than 2 features or no hidden unit.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(f"expected a size as FEATURESxHIDDEN; got {text!r}; write e.g. 64x128")
    n, m = int(parts[0]), int(parts[1])
    if n < 2 or m < 1:
        raise UserError(f"expected a size of at least 2 features and 1 hidden unit; got {text!r}; write e.g. 64x128")
    return n, m


@dataclass(frozen=True, kw_only=True)
class IncidentalOptions(Options):
    """Sizes, regulariser and noise of the models, and the four results."""

    sizes: tuple[str, ...] = option(("16x64", "64x128", "64x256", "16x256"), "features x hidden units to count at")
    seeds: int = option(128, "models per size, one seed each", at_least=1)
    l1: float = option(1e-3, "lambda, weight of the L1 penalty", at_least=0, at_most=1000)
    noise: str = option("none", "noise on the hidden layer", choices=("none", *NOISES))
    noise_scale: float = option(0.15, "standard deviation of the noise", at_least=0, at_most=1000)
    optimiser: str = option("adamw", "optimiser", choices=("adamw", "sgd"))
    learning_rate: float = option(1e-3, "learning rate", above=0, at_most=1000)
    weight_decay: float = option(0.01, "decoupled weight decay", at_least=0, at_most=1000)
    steps: int = option(7500, "training steps", at_least=1)
    noises: tuple[str, ...] = option(NOISES, "noises compared without L1, by the fourth norm", choices=NOISES)
    noise_steps: int = option(50_000, "SGD steps of the noise comparison", at_least=1)
    noise_seeds: int = option(16, "models per noise", at_least=1)
    row_hidden: int = option(10_000, "weights of the single row whose L1 norm is followed", at_least=1)
    row_seeds: int = option(40, "single rows", at_least=1)
    rates: tuple[float, ...] = option(
        (5e-4, 1e-3, 2e-3), "lambdas at which the decay of trained models is followed", above=0, at_most=1
    )
    rate_size: str = option("16x1024", "size of the models whose decay is followed")
    rate_seeds: int = option(8, "models at each of those lambdas", at_least=1)
    sgd_steps: int = option(40_000, "SGD steps of the initialisation comparison (learning rate .1)", at_least=1)
    sgd_seeds: int = option(8, "models of the initialisation comparison by SGD", at_least=1)
    movie_size: str = option("16x32", "size of the model whose weights the page's slider shows")

    def validate(self) -> None:
        for text in (*self.sizes, self.movie_size, self.rate_size):
            parse_size(text)


@dataclass(frozen=True, kw_only=True)
class IncidentalConfig(SeededConfig):
    """Incidental polysemanticity: counts against the occupancy law, L1 decay, fourth norm by noise, initialisation."""

    papers: ClassVar[Mapping[str, Preset]] = {
        "ip": Preset(
            {
                "sizes": "256x256,256x512,256x1024,256x2048,256x4096",
                "seeds": "8",
                "rates": "0.0003,0.001,0.003",
                "row_hidden": "100000",
            },
            "n = 256 and m to 4,096 as in the counts of the post, 8 models a size; it averages more. Hours on two "
            "cores",
        )
    }

    incidental: IncidentalOptions = nested(IncidentalOptions())


FULL = {"seeds": 256, "sizes": ("16x64", "64x128", "64x256", "16x256", "256x256", "256x512"), "row_hidden": 100_000}
