"""What units do to the next token of the model they are read in: for explainers of the output side.

Axes: token (of the vocabulary), width (of the stream).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.lenses.explain.unit_sources.steered_units import WRITES_NONE, writes_of
from llm_codes.lenses.explain.units import Readout
from llm_codes.lenses.saes.logits import RESIDUAL_KINDS, direct_logits
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site

HIDDEN = "mlp_post"


class UnitOutputs:
    """Asks a model what its units do (`eval.explanation.outputs.interface.Outputs`); numbered as in the run's books.

    A hidden unit of an MLP writes what its block then adds to the stream (exact: the output layer is affine). A unit
    elsewhere inside a block has no direct effect: what it does goes through a nonlinearity first.
    """

    def __init__(self, open_model: Callable[[], Model], readouts: Sequence[Readout]) -> None:
        self._open_model = open_model
        self._writes = [write for readout in readouts for write in writes_of(readout)]
        self._plain: dict[tuple[tuple[int, ...], ...], Tensor] = {}

    @cached_property
    def model(self) -> Model:
        return self._open_model()

    def strings(self, tokens: Sequence[int]) -> list[str]:
        return self.model.token_strings(tokens)

    def direct(self, unit: int) -> Float[np.ndarray, " token"] | str:
        """The change of the logits for the unit raised by 1, through the final norm's gain and the unembedding."""
        site, write = self._writes[unit]
        if write is None:
            return WRITES_NONE
        if site.kind not in (*RESIDUAL_KINDS, HIDDEN):
            return (
                f"what a unit at {site.name} writes goes through a nonlinearity: it has no direct effect on the logits"
            )
        stream = self._through_the_output_layer(site, write) if site.kind == HIDDEN else write
        return direct_logits(self.model, stream[None])[0].cpu().numpy()

    def _through_the_output_layer(self, site: Site, write: Tensor) -> Float[Tensor, " width"]:
        """What the MLP adds to the stream for a change of its hidden layer."""
        model = self.model
        place, tokens = resolve_site(model, "mlp_out", site.layer), torch.zeros(1, 1, dtype=torch.long)
        plain = model.activations(tokens, [place])[place.hook][0, 0].float()
        with model.steered(site=site.kind, layer=site.layer, add=write):
            raised = model.activations(tokens, [place])[place.hook][0, 0].float()
        return raised - plain

    @torch.no_grad()
    def steered(self, unit: int, by: float, texts: Sequence[tuple[int, ...]]) -> Float[np.ndarray, " token"] | str:
        """The mean change of the logits over every position of the texts, with the unit raised at each of them."""
        site, write = self._writes[unit]
        if write is None:
            return WRITES_NONE
        key = tuple(texts)
        if key not in self._plain:
            self._plain = {key: self._mean_logits(key)}
        with self.model.steered(site=site.kind, layer=site.layer, add=by * write):
            return (self._mean_logits(key) - self._plain[key]).numpy()

    def _mean_logits(self, texts: Sequence[tuple[int, ...]]) -> Float[Tensor, " token"]:
        bos = () if self.model.bos_token_id is None else (self.model.bos_token_id,)
        logits = self.model.logits(torch.tensor([[*bos, *text] for text in texts]))
        return logits[:, len(bos) :].float().mean((0, 1)).cpu()
