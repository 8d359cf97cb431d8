"""Steering the model along a unit, for the scorer `intervention`: which vector raises a unit, and what is said then."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llm_codes.lenses.explain.units import Readout
from llm_codes.models import Model
from llm_codes.sites import Site

NEW_TOKENS = 16
WRITES_NONE = "the unit reads activations and writes none: it cannot be steered"


class SteeredUnits:
    """Continues texts with one unit of a run raised (`eval.explanation.scoring.interventions.Steering`).

    A neuron is raised at its coordinate; a direction v by v / |v|^2, so that its value grows by what is asked for; a
    feature of a dictionary by its decoder vector. Units are numbered as in the run's books.
    """

    def __init__(self, model: Model, readouts: Sequence[Readout]) -> None:
        self.model = model
        self._writes = [write for readout in readouts for write in writes_of(readout)]
        self._plain: dict[tuple[object, ...], list[tuple[str, ...]]] = {}

    def steer(self, unit: int, by: float, heads: Sequence[Sequence[str]], seed: int) -> list[tuple[str, ...]] | str:
        """The new tokens after each head, drawn under the seed and the head's place."""
        site, write = self._writes[unit]
        if write is None:
            return WRITES_NONE
        texts = tuple("".join(head) for head in heads)
        if not by:  # the same for every unit
            if (texts, seed) not in self._plain:
                self._plain[texts, seed] = self._continued(texts, seed)
            return self._plain[texts, seed]
        with self.model.steered(site=site.kind, layer=site.layer, add=by * write):
            return self._continued(texts, seed)

    def _continued(self, texts: Sequence[str], seed: int) -> list[tuple[str, ...]]:
        said = self.model.continuations(texts, NEW_TOKENS, seeds=[seed + place for place in range(len(texts))])
        return [tuple(self.model.token_strings(self.model.encode(text))) if text else () for text in said]


def writes_of(readout: Readout) -> list[tuple[Site, Tensor | None]]:
    """(site, what raises the unit by 1 there) of every unit of a readout."""
    out: list[tuple[Site, Tensor | None]] = []
    for place, unit in enumerate(readout.units):
        write = None
        if unit.kind == "neuron":
            write = torch.zeros(readout.site.width)
            write[unit.index] = 1.0
        elif readout.vectors is not None:
            vector = readout.vectors[:, place].float()
            write = vector / (vector @ vector)
        elif readout.decoder is not None:
            write = readout.decoder[place].float()
        out.append((readout.site, write))
    return out
