"""Configuration of `python -m toy incidental`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class IncidentalConfig(RunConfig):
    """Incidental polysemanticity: counts against the occupancy law, L1 decay, fourth norm by noise, initialisation."""

    sizes: tuple[str, ...] = option(("16x64", "64x128", "64x256", "16x256"), "features x hidden units to count at")
    seeds: int = option(64, "models per size, one seed each")
    l1: float = option(1e-3, "lambda, weight of the L1 penalty")
    noise: str = option("none", "noise on the hidden layer: none, rademacher, uniform, gaussian, laplace, t")
    noise_scale: float = option(0.15, "standard deviation of the noise")
    optimiser: str = option("adamw", "adamw or sgd")
    learning_rate: float = option(1e-3, "learning rate")
    weight_decay: float = option(0.01, "decoupled weight decay")
    steps: int = option(7500, "training steps")
    noises: tuple[str, ...] = option(
        ("rademacher", "uniform", "gaussian", "laplace", "t"), "noises compared without L1, by the fourth norm"
    )
    noise_steps: int = option(50_000, "SGD steps of the noise comparison")
    noise_seeds: int = option(16, "models per noise")
    row_hidden: int = option(10_000, "weights of the single row whose L1 norm is followed")
    row_seeds: int = option(32, "single rows")
    sgd_steps: int = option(40_000, "SGD steps of the initialisation comparison (learning rate .1)")
    sgd_seeds: int = option(8, "models of the initialisation comparison by SGD")
    movie_size: str = option("16x32", "size of the model whose weights the page's slider shows")


FULL = {"seeds": 128, "sizes": ("16x64", "64x128", "64x256", "16x256", "256x256", "256x512"), "row_hidden": 100_000}
