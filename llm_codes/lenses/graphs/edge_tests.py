"""Do the edges of a graph hold in the real model? Sources are moved, targets watched, predictions compared.

For each kept edge between two features that is drawn: the source is taken out, doubled, or moved a little; the target's
pre-activation is watched with the MLPs between held (direct effect; with patterns or norms held as well, to say which
of them explains the gap) and with nothing held (total effect). The null watches, for the same change, another active
feature at the target's layer and position. Logits are watched as targets of every source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.graphs.agreement import agreement
from llm_codes.lenses.graphs.edge_rows import GROUPS, EdgeAgreement, EdgeTest, EdgeTests
from llm_codes.lenses.graphs.frozen import freeze
from llm_codes.lenses.graphs.interventions import BATCH, Change, Held, Response, linear_response, respond, writes
from llm_codes.lenses.graphs.nodes import active_features
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model

SIZES = (-1.0, 1.0, -0.1)
HELD = {
    "direct": Held(mlps=True),
    "patterns_held": Held(mlps=True, patterns=True),
    "norms_held": Held(mlps=True, norms=True),
    "total": Held(),
}


def edge_tests(
    model: Model,
    graphs: Sequence[AttributionGraph],
    transcoders: Sequence[LayerTranscoder],
    *,
    n_sources: int = 12,
    per_source: int = 4,
    sizes: Sequence[float] = SIZES,
    featureless: int = 1,
    batch_size: int = BATCH,
    seed: int = 0,
) -> EdgeTests:
    """Edges of one or several graphs, tested in the real model.

    Args:
        graphs: of different prompts; intervals are over them. n_sources: features moved in each graph, drawn from the
            sources of its kept edges. per_source: edges watched for each (and the first logit target).
        sizes: changes, in activations of the source. featureless: as the graphs were made.
        batch_size: changes in one forward pass.

    Raises:
        UserError: no graph has a kept edge between two features.
    """
    tests: list[EdgeTest] = []
    for number, graph in enumerate(graphs):
        generator = np.random.default_rng([seed, number])
        drawn = _drawn(graph, n_sources, per_source, generator)
        if drawn:
            tests += _tests_of(model, graph, transcoders, drawn, sizes, featureless, batch_size, number, generator)
    if not tests:
        raise UserError("expected kept edges between features; got none; raise --node-share or take a longer prompt")
    return EdgeTests(len(graphs), len(tests), tuple(agreements(tests, seed)), tuple(tests))


def _drawn(
    graph: AttributionGraph, n_sources: int, per_source: int, generator: np.random.Generator
) -> dict[int, list[int]]:
    """Targets to watch, by source: rows of the graph's edges."""
    target, source = graph.pruned.edge_targets.cpu().numpy(), graph.pruned.edge_sources.cpu().numpy()
    inner = (source < graph.n_features) & (target < graph.n_features)
    target, source = target[inner], source[inner]
    out = {}
    for one in generator.permutation(np.unique(source))[:n_sources]:
        out[int(one)] = generator.permutation(target[source == one])[:per_source].tolist()
    return out


def _tests_of(
    model: Model,
    graph: AttributionGraph,
    transcoders: Sequence[LayerTranscoder],
    drawn: dict[int, list[int]],
    sizes: Sequence[float],
    featureless: int,
    batch_size: int,
    number: int,
    generator: np.random.Generator,
) -> list[EdgeTest]:
    with torch.no_grad():
        frozen = freeze(model, torch.tensor(graph.token_ids, device=graph.edges.device))
        active = active_features(frozen, transcoders, featureless)
    changes, places = [], []
    for source, targets in drawn.items():
        layer, position, feature = graph.features[source].tolist()
        for size in sizes:
            changes.append(Change(layer, position, feature, float(graph.activations[source]), size))
            places.append((source, size, targets))
    added = writes(changes, transcoders, frozen.n_positions)
    found = {name: respond(model, frozen, added, held, batch_size) for name, held in HELD.items()}
    found["predicted_total"] = linear_response(frozen, transcoders, active, added)
    reader = _Reader(graph, transcoders, found)
    return [
        test
        for change, (source, size, targets) in enumerate(places)
        for test in reader.tests(number, change, source, size, targets, generator)
    ]


class _Reader:
    """Reads the responses to a graph's changes at its targets."""

    def __init__(
        self, graph: AttributionGraph, transcoders: Sequence[LayerTranscoder], found: dict[str, Response]
    ) -> None:
        self.graph, self.transcoders, self.found = graph, transcoders, found

    def tests(
        self, prompt: int, change: int, source: int, size: float, targets: list[int], generator: np.random.Generator
    ) -> list[EdgeTest]:
        out = []
        start = tuple(self.graph.features[source].tolist())
        for target in [*targets, self.graph.n_features]:
            predicted = size * float(self.graph.edges[target, source])
            measured = {name: self._at(name, change, target) for name in self.found}
            other = self._other(target, generator)
            null = None if other is None else self._at("direct", change, other)
            null_total = None if other is None else self._at("total", change, other)
            end = None if target == self.graph.n_features else tuple(self.graph.features[target].tolist())
            length = (self.graph.n_layers if end is None else end[0]) - start[0]
            here = (self.graph.n_positions - 1 if end is None else end[1]) == start[1]
            kind = "logit" if end is None else "feature"
            out.append(
                EdgeTest(
                    prompt,
                    start,
                    end,
                    kind,
                    size,
                    length,
                    here,
                    predicted,
                    null=null,
                    null_total=null_total,
                    **measured,
                )
            )
        return out

    def _at(self, name: str, change: int, target: int) -> float:
        response = self.found[name]
        if target >= self.graph.n_features:
            return _logit(response.logits[change], self.graph)
        layer, position, feature = self.graph.features[target].tolist()
        return float(response.mlp_in[layer, change, position] @ self.transcoders[layer].encoder[:, feature])

    def _other(self, target: int, generator: np.random.Generator) -> int | None:
        """Another feature at the target's layer and position; none for a logit, or where it is alone."""
        if target >= self.graph.n_features:
            return None
        places = self.graph.features
        same = ((places[:, :2] == places[target, :2]).all(1)).nonzero().flatten().tolist()
        others = [one for one in same if one != target]
        return int(generator.choice(others)) if others else None


def _logit(logits: Tensor, graph: AttributionGraph) -> float:
    first = graph.targets[0]
    base = logits.mean() if first.against is None else logits[first.against]
    return float(logits[first.token] - base)


def agreements(tests: Sequence[EdgeTest], seed: int = 0) -> list[EdgeAgreement]:
    """Predicted against measured, of all tests and by size of change, length, layer of the source and what responds."""
    out = []
    for name, chosen in GROUPS.items():
        some = [test for test in tests if chosen(test)]
        for what in ("direct", "patterns held", "norms held", "direct, null", "total", "total, null"):
            found = _one_agreement(some, name, what, seed)
            if found is not None:
                out.append(found)
    return out


FIELDS = {
    "direct": ("predicted", "direct"),
    "patterns held": ("predicted", "patterns_held"),
    "norms held": ("predicted", "norms_held"),
    "direct, null": ("predicted", "null"),
    "total": ("predicted_total", "total"),
    "total, null": ("predicted_total", "null_total"),
}


def _one_agreement(tests: Sequence[EdgeTest], group: str, what: str, seed: int) -> EdgeAgreement | None:
    predicted, measured = FIELDS[what]
    kept = [test for test in tests if getattr(test, measured) is not None]
    if not kept:
        return None

    def column(name: str) -> Any:
        return np.array([getattr(test, name) for test in kept])

    found = agreement(column(predicted), column(measured), column("prompt"), seed=seed)
    return EdgeAgreement(group, what, len(kept), found.sign, found.rank, found.r2, found.slope)
