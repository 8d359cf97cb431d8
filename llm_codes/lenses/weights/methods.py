"""Ways to give each target a few weighted inputs, all with the same number of edges.

virtual weights               the largest |V|, with V as the weight
weights by co-activation      the largest |V E[x | target on]|, with V as the weight ("global weights")
... refitted                  the same edges, least squares
correlation                   the largest |r|, with the slope of each alone as the weight
connector                     hard thresholding pursuit, from virtual weights, co-activation or random edges
random edges, refitted        drawn among features that live, least squares
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.measures.connectors.pursuit import Moments, SparseFit, pursue, refit
from llm_codes.lenses.weights.screening import Candidates

VIRTUAL, REWEIGHTED, REFITTED = "virtual weights", "weights by co-activation", "weights by co-activation, refitted"
CORRELATION, RANDOM = "correlation", "random edges, refitted"
CONNECTOR, FROM_VIRTUAL, FROM_RANDOM = "connector", "connector, from virtual weights", "connector, from random edges"
DRAWN = "connector, drawn to virtual weights"
CONNECTORS = (CONNECTOR, DRAWN)
METHODS = (CONNECTOR, DRAWN, FROM_VIRTUAL, FROM_RANDOM, REFITTED, REWEIGHTED, VIRTUAL, CORRELATION, RANDOM)


@dataclass(frozen=True)
class Edges:
    """The inputs of every target by one method: places among its candidates, and weights, 0 where it has fewer."""

    places: Int[Tensor, "target edge"]
    weights: Float[Tensor, "target edge"]

    def dense(self, n_candidates: int) -> Float[Tensor, "target input"]:
        """Weights at all candidates."""
        out = torch.zeros(len(self.places), n_candidates, dtype=self.weights.dtype)
        return out.scatter_add(1, self.places, self.weights)


def edges_by_method(
    candidates: Candidates, moments: Moments, n_edges: int, ridge: float, pull: float
) -> dict[str, Edges]:
    """Each method's edges; moments are of the candidates with the targets' pre-activations, on fitting documents."""
    usable = candidates.filled
    correlation = moments.cross.abs() / moments.spread.clamp(min=1e-30)
    slope = moments.cross / moments.spread.square().clamp(min=1e-30)
    best = {
        VIRTUAL: _largest(candidates.virtual, usable, n_edges),
        REWEIGHTED: _largest(candidates.attribution, usable, n_edges),
        CORRELATION: _largest(correlation, usable, n_edges),
        RANDOM: _largest(candidates.chance.float(), usable, n_edges),
    }
    own = {VIRTUAL: candidates.virtual, REWEIGHTED: candidates.virtual, CORRELATION: slope}
    out = {name: _with(values, best[name], usable) for name, values in own.items()}
    out[REFITTED] = _fitted(refit(moments, best[REWEIGHTED], usable=usable, ridge=ridge))
    out[RANDOM] = _fitted(refit(moments, best[RANDOM], usable=usable & candidates.chance, ridge=ridge))
    size = candidates.columns.shape[1]
    starts = {name: out[name].dense(size).to(moments.cross) for name in (REWEIGHTED, VIRTUAL, RANDOM)}
    for name, start in ((CONNECTOR, REWEIGHTED), (FROM_VIRTUAL, VIRTUAL), (FROM_RANDOM, RANDOM)):
        out[name] = _fitted(pursue(moments, n_edges, starts[start], usable=usable, ridge=ridge))
    drawn = pursue(moments, n_edges, starts[REWEIGHTED], usable=usable, ridge=pull, toward=candidates.virtual)
    return out | {DRAWN: _fitted(drawn)}


def _largest(values: Tensor, usable: Tensor, count: int) -> Tensor:
    return torch.where(usable, values.abs(), -1.0).topk(count, dim=1).indices


def _with(values: Tensor, places: Tensor, usable: Tensor) -> Edges:
    return Edges(places, (values * usable).gather(1, places).float())


def _fitted(fit: SparseFit) -> Edges:
    return Edges(fit.kept, fit.weights.float())
