"""Do the edges of a graph hold in the real model? Sources are moved, targets watched, predictions compared.

For each kept edge between two features that is drawn: the source is taken out, doubled, moved a little, or given the
largest activation that it has in another prompt, where it is on there; the target's pre-activation is watched with the
MLPs between held (direct effect) and with nothing held (total effect), each with attention patterns, norm denominators,
both or neither held as well, to say which of them explains the gap. A direct effect with both held is the edge itself.
The null watches, for the same change, another active feature at the target's layer and position. Logits are watched as
targets of every source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.graphs.agreement import agreement
from llm_codes.lenses.graphs.edge_rows import EdgeAgreement, EdgeTest, EdgeTests, groups_of
from llm_codes.lenses.graphs.interventions import BATCH, Change, Held, Response, linear_response, respond, writes
from llm_codes.lenses.graphs.nodes import ActiveFeatures, FrozenPrompt, frozen_prompt, next_prompt
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model

SIZES = (-1.0, 1.0, -0.1)
HELD = {
    "direct": Held(mlps=True),
    "patterns_held": Held(mlps=True, patterns=True),
    "norms_held": Held(mlps=True, norms=True),
    "both_held": Held(mlps=True, patterns=True, norms=True),
    "total": Held(),
    "total_patterns_held": Held(patterns=True),
    "total_norms_held": Held(norms=True),
    "total_both_held": Held(patterns=True, norms=True),
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
    tokens = [torch.tensor(graph.token_ids, device=graph.edges.device) for graph in graphs]
    prompts = [frozen_prompt(model, own, transcoders, featureless) for own in tokens]
    for number, (graph, prompt) in enumerate(zip(graphs, prompts, strict=True)):
        asked: Any = {"n_sources": n_sources, "per_source": per_source, "batch_size": batch_size, "seed": seed}
        donor = next_prompt(prompts, number)
        tests += tests_of_graph(model, graph, transcoders, prompt, donor, sizes=sizes, number=number, **asked)
    return tests_together(tests, len(graphs), seed)


def tests_together(tests: Sequence[EdgeTest], prompts: int, seed: int = 0) -> EdgeTests:
    """The tests of all prompts, and how well they agree.

    Raises:
        UserError: there is no test.
    """
    if not tests:
        raise UserError("expected kept edges between features; got none; raise --node-share or take a longer prompt")
    return EdgeTests(prompts, len(tests), tuple(agreements(tests, seed)), tuple(tests))


def tests_of_graph(
    model: Model,
    graph: AttributionGraph,
    transcoders: Sequence[LayerTranscoder],
    prompt: FrozenPrompt,
    donor: ActiveFeatures | None = None,
    *,
    n_sources: int = 12,
    per_source: int = 4,
    sizes: Sequence[float] = SIZES,
    batch_size: int = BATCH,
    number: int = 0,
    seed: int = 0,
) -> list[EdgeTest]:
    """The tests of one graph; empty where it has no kept edge between features. donor: what is on in another prompt,
    from which sources are patched; a source that is off there is not (it would be taken out once more). number: of the
    prompt, in the rows and in the draw; the other arguments are those of `edge_tests`."""
    generator = np.random.default_rng([seed, number])
    drawn = _drawn(graph, n_sources, per_source, generator)
    places = [(source, size, targets, False) for source, targets in drawn.items() for size in sizes]
    patches = _patches(graph, list(drawn), donor)
    places += [(source, size, drawn[source], True) for source, size in patches.items()]
    if not places:
        return []
    changes = [_change(graph, source, size) for source, size, _, _ in places]
    added = writes(changes, transcoders, prompt.frozen.n_positions)
    found = {name: respond(model, prompt.frozen, added, held, batch_size) for name, held in HELD.items()}
    found["predicted_total"] = linear_response(prompt.frozen, transcoders, prompt.active, added)
    reader = _Reader(graph, transcoders, found)
    return [
        test
        for change, (source, size, targets, patched) in enumerate(places)
        for test in reader.tests(number, change, source, size, targets, generator, patched)
    ]


def _change(graph: AttributionGraph, source: int, size: float) -> Change:
    layer, position, feature = graph.features[source].tolist()
    return Change(layer, position, feature, float(graph.activations[source]), size)


def _patches(graph: AttributionGraph, sources: Sequence[int], donor: ActiveFeatures | None) -> dict[int, float]:
    """Sizes of the changes that give sources their largest activation in another prompt; those that are on there."""
    there = {} if donor is None else donor.strongest()
    places = graph.features[list(sources)].tolist()
    found = {source: there.get((layer, feature)) for source, (layer, _, feature) in zip(sources, places, strict=True)}
    return {source: new / float(graph.activations[source]) - 1 for source, new in found.items() if new is not None}


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


class _Reader:
    """Reads the responses to a graph's changes at its targets."""

    def __init__(
        self, graph: AttributionGraph, transcoders: Sequence[LayerTranscoder], found: dict[str, Response]
    ) -> None:
        self.graph, self.transcoders, self.found = graph, transcoders, found

    def tests(
        self,
        prompt: int,
        change: int,
        source: int,
        size: float,
        targets: list[int],
        generator: np.random.Generator,
        patched: bool,
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
                    patched=patched,
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
    rows = [_one_agreement(some, name, what, seed) for name, some in groups_of(tests).items() for what in FIELDS]
    return [row for row in rows if row is not None]


FIELDS = {
    "direct": ("predicted", "direct"),
    "patterns held": ("predicted", "patterns_held"),
    "norms held": ("predicted", "norms_held"),
    "both held": ("predicted", "both_held"),
    "direct, null": ("predicted", "null"),
    "total": ("predicted_total", "total"),
    "total, patterns held": ("predicted_total", "total_patterns_held"),
    "total, norms held": ("predicted_total", "total_norms_held"),
    "total, both held": ("predicted_total", "total_both_held"),
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
