"""What the fitting documents gave: targets, their candidates, every method's edges, as arrays that a run can keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from eval.measures.connectors.pursuit import Moments, refit
from eval.pieces import Arrays
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.weights import WeightsOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.weights.census import census, drawn_targets
from llm_codes.lenses.weights.fitting import Fits, candidate_moments
from llm_codes.lenses.weights.methods import METHODS, Edges, edges_by_method
from llm_codes.lenses.weights.paths import Columns, Targets
from llm_codes.lenses.weights.screening import screen
from llm_codes.lenses.weights.virtual import virtual_weights
from llm_codes.models import Model

OWN, REFITTED, ACTIVATION = "own", "refitted", "activation"
WHAT = (OWN, REFITTED, ACTIVATION)


@dataclass(frozen=True)
class Fitted:
    """columns: of each target's candidates, 0 where a place is empty. edges: by what is predicted (`own`: the
    pre-activation with the method's own weights; `refitted`: the same edges, least squares; `activation`: of the
    activation, refitted), by method; constants: that go with them, by target."""

    columns: Columns
    targets: Targets
    candidates: Tensor
    edges: Mapping[str, Mapping[str, Edges]]
    constants: Mapping[str, Mapping[str, Tensor]]

    def arrays(self) -> Arrays:
        """Everything as arrays, but the numbering of columns."""
        out = {"layer": self.targets.layer, "feature": self.targets.feature, "candidates": self.candidates}
        for what in WHAT:
            for name in METHODS:
                edges = self.edges[what][name]
                key = f"{what}.{METHODS.index(name)}"
                out |= {f"{key}.places": edges.places, f"{key}.weights": edges.weights}
                out[f"{key}.constants"] = self.constants[what][name]
        return {key: value.cpu().numpy() for key, value in out.items()}

    @classmethod
    def from_arrays(cls, columns: Columns, arrays: Mapping[str, np.ndarray]) -> Fitted:
        """The inverse of `arrays`."""

        def tensor(key: str) -> Tensor:
            return torch.from_numpy(np.array(arrays[key]))

        edges: dict[str, dict[str, Edges]] = {what: {} for what in WHAT}
        constants: dict[str, dict[str, Tensor]] = {what: {} for what in WHAT}
        for what in WHAT:
            for number, name in enumerate(METHODS):
                key = f"{what}.{number}"
                edges[what][name] = Edges(tensor(f"{key}.places"), tensor(f"{key}.weights"))
                constants[what][name] = tensor(f"{key}.constants")
        return cls(columns, Targets(tensor("layer"), tensor("feature")), tensor("candidates"), edges, constants)

    @property
    def own(self) -> Mapping[str, Edges]:
        """Every method's edges with its own weights, for pre-activations."""
        return self.edges["own"]

    @cached_property
    def edge_columns(self) -> Mapping[str, Tensor]:
        """The column of every edge of each method, [target, edge]."""
        return {name: self.candidates.gather(1, edges.places) for name, edges in self.own.items()}

    def share_of_heads(self) -> dict[str, float]:
        """Which share of each method's edges runs through a head."""
        out = {}
        for name in METHODS:
            kept = self.own[name].weights != 0
            through = self.edge_columns[name] >= self.columns.width
            out[name] = float((through & kept).sum() / kept.sum().clamp(min=1))
        return out


def fit_weights(
    model: Model,
    corpus: Corpus,
    transcoders: Sequence[LayerTranscoder],
    columns: Columns,
    options: WeightsOptions,
    walk: HarvestOptions,
    seed: int,
) -> Fitted:
    """Census, candidates, moments and edges on the fitting documents."""
    found = census(model, corpus, transcoders, walk)
    targets = drawn_targets(found, options.targets, seed)
    window = torch.from_numpy(corpus.tokens[0][: int(corpus.lengths[0])].astype(np.int64))
    virtual = virtual_weights(model, window, transcoders, columns, targets, found)
    sizes = {"per_criterion": options.candidates, "n_edges": options.edges_per_feature}
    candidates = screen(model, corpus, transcoders, virtual, walk, seed=seed, **sizes)
    inside = candidates.columns.clamp(min=0)
    moments = candidate_moments(model, corpus, transcoders, columns, targets, inside, walk)
    own = edges_by_method(candidates, moments.preactivation, options.edges_per_feature, options.ridge, options.pull)
    edges = {
        OWN: own,
        REFITTED: {name: _refitted(moments.preactivation, one, options.ridge) for name, one in own.items()},
        ACTIVATION: {name: _refitted(moments.activation, one, options.ridge) for name, one in own.items()},
    }
    return Fitted(columns, targets, inside, edges, {what: _constants(edges[what], moments, what) for what in WHAT})


def _refitted(moments: Moments, edges: Edges, ridge: float) -> Edges:
    """The same edges with weights of least squares; those without a weight stay out."""
    kept = edges.weights != 0
    usable = torch.zeros(moments.cross.shape, dtype=torch.bool).scatter(1, edges.places, kept)
    fit = refit(moments, edges.places, usable=usable, ridge=ridge)
    return Edges(fit.kept, fit.weights.float())


def _constants(edges: Mapping[str, Edges], moments: Fits, what: str) -> dict[str, Tensor]:
    """The constant that makes the mean right, by method."""
    wanted = moments.mean_activation if what == ACTIVATION else moments.mean_preactivation
    return {
        name: (wanted - (one.weights * moments.mean.gather(1, one.places)).sum(1)).float()
        for name, one in edges.items()
    }
