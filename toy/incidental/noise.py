"""Zero-mean, unit-variance noise with a known excess kurtosis.

Axis glossary: ``model`` one per seed, ``step`` training steps drawn ahead, ``input`` the n basis inputs, ``hidden``.

[IP] predicts that the *sign of the excess kurtosis* of noise on the hidden layer decides whether it pushes weights
together into one neuron (negative: Rademacher, uniform), apart (positive: Laplace, t) or neither (Gaussian).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import known_name

DEGREES_OF_FREEDOM = 6
EXCESS_KURTOSIS = {"rademacher": -2.0, "uniform": -1.2, "gaussian": 0.0, "laplace": 3.0, "t": 3.0}
"""Of the unit-variance distributions below; t has 6 degrees of freedom, 6/(6-4) = 3."""


def draw_noise(kind: str, shape: Sequence[int], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Draws of unit variance from the named distribution."""
    known_name(kind, EXCESS_KURTOSIS, "noise")
    size = tuple(shape)
    if kind == "gaussian":
        return torch.randn(size, generator=generator, dtype=dtype)
    uniform = torch.rand(size, generator=generator, dtype=dtype)
    if kind == "rademacher":
        return torch.where(uniform < 0.5, -1.0, 1.0).to(dtype)
    if kind == "uniform":
        return (2 * uniform - 1) * math.sqrt(3)
    if kind == "laplace":
        centred = uniform - 0.5
        tail = torch.log1p(-2 * centred.abs().clamp(max=0.5 - 1e-7))
        return -centred.sign() * tail / math.sqrt(2)
    normal = torch.randn((*size, DEGREES_OF_FREEDOM + 1), generator=generator, dtype=dtype)
    chi_squared = normal[..., 1:].square().sum(-1) / DEGREES_OF_FREEDOM
    return normal[..., 0] / chi_squared.sqrt() * math.sqrt((DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM)


def noise_steps(
    kind: str, scale: float, seeds: Sequence[int], shape: tuple[int, int], n_steps: int, dtype: torch.dtype
) -> Iterator[Float[Tensor, "model input hidden"]]:
    """Noise of one step after the other; a model's noise depends on its own seed alone, not on its neighbours."""
    generators = [torch.Generator().manual_seed(seed + 7_919_000) for seed in seeds]
    chunk = max(1, min(n_steps, 2_000_000 // max(1, len(seeds) * shape[0] * shape[1])))
    for start in range(0, n_steps, chunk):
        count = min(chunk, n_steps - start)
        drawn = torch.stack([draw_noise(kind, (count, *shape), g, dtype) for g in generators], dim=1) * scale
        yield from drawn
