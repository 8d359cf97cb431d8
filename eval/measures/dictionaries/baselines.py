"""How much of a dictionary's quality does a random one reach? Training with a part of the dictionary held at random.

    frozen-decoder       decoder vectors are random and stay so; the encoder is trained
    soft-frozen-decoder  each decoder vector keeps a cosine of at least .8 to its random start
    frozen-encoder       encoder vectors are random and stay so; the decoder is trained

Korznikov et al. 2026: on language models these reach .87 of .90 in interpretability and .69 of .72 in probing, so that
a dictionary is to be read beside them. Biases are trained in all three. Axes: feature, width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import known_name
from eval.measures.dictionaries.step_options import BASELINES

LEAST_COSINE = 0.8


class Constraint:
    """What a baseline holds fixed while a dictionary is trained.

    baseline: one of `BASELINES`. decoder: its random start ``[feature width]``, kept (a copy) where it is a limit.
    """

    def __init__(self, baseline: str, decoder: Float[Tensor, "feature width"]) -> None:
        self.baseline = known_name(baseline, BASELINES, "baseline")
        self.start = decoder.clone() if baseline == "soft-frozen-decoder" else None

    def moved(self, parameters: Mapping[str, Tensor], encoder: str, decoder: str) -> dict[str, Tensor]:
        """The parameters that an optimiser may move: all but the frozen matrix, whose name is given."""
        frozen = {"frozen-decoder": decoder, "frozen-encoder": encoder}.get(self.baseline, "")
        return {name: value for name, value in parameters.items() if name != frozen}

    @torch.no_grad()
    def hold(self, decoder: Float[Tensor, "feature width"]) -> None:
        """After a step: turn every decoder vector that left its start back to a cosine of .8, its norm unchanged."""
        if self.start is not None:
            decoder.copy_(within_cosine(decoder, self.start, LEAST_COSINE))


def within_cosine(
    vectors: Float[Tensor, "feature width"], starts: Float[Tensor, "feature width"], least: float
) -> Float[Tensor, "feature width"]:
    """Each vector, or where its cosine to its start is below `least` the nearest direction at `least`; same norms.

    A vector opposite to its start has no nearest direction: it becomes its start.
    """
    size = vectors.norm(dim=1, keepdim=True)
    axis = starts / starts.norm(dim=1, keepdim=True).clamp_min(1e-12)
    along = (vectors * axis).sum(1, keepdim=True)
    across = vectors - along * axis
    width = across.norm(dim=1, keepdim=True)
    turned = least * axis + (1 - least**2) ** 0.5 * across / width.clamp_min(1e-12)
    turned = torch.where(width > 1e-6 * size, turned, axis)
    return torch.where(along >= least * size, vectors, size * turned)
