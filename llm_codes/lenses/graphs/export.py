"""A graph as circuit-tracer's JSON (`metadata`, `qParams`, `nodes`, `links`), as its reader and its frontend take it.

Node ids: `layer_feature_position` for features, `error_layer_position` for errors (circuit-tracer writes
`0_layer_position`, which a feature of layer 0 with a low number has too), `E_token_position` for embeddings,
`layers+1_token_position` for logits. A feature's `feature` is the pairing (layer + feature)(layer + feature + 1)/2 +
feature of the two numbers. Biases have no kind of node there; they are written as nodes of the kind "bias" that no
frontend draws as a feature, one per column of biases, so that the links into a node sum to its activation where nothing
was pruned. A link whose head loadings were asked for says more: `residual`, through no head, and `heads`, the largest.
Supernodes are lists of a name and node ids; their nodes and the logits are pinned, so that the frontend shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_codes.lenses.graphs.rows import ERROR, FEATURE, LOGIT, TOKEN, AttributionGraph, EdgeHeads, GraphEdge, Node


def graph_json(
    graph: AttributionGraph,
    slug: str = "graph",
    labels: Mapping[int, Sequence[str]] | None = None,
    supernodes: Sequence[Sequence[str]] = (),
    heads: Sequence[EdgeHeads] = (),
) -> dict[str, Any]:
    """The pruned graph with its biases.

    labels: words for nodes, by number (`promoted_tokens`). supernodes: name and node ids of each. heads: of some edges
    (`edge_heads`).
    """
    numbers = graph.kept_nodes()
    named = {number: node_id(graph, graph.node(number)) for number in numbers}
    words = {number: " ".join(tokens) for number, tokens in (labels or {}).items()}
    nodes = [_node(graph, number, named[number], words.get(number, "")) for number in numbers]
    carried = {(edge.source, edge.target): edge for edge in heads}
    links = [_link(edge, named, carried.get((edge.source, edge.target))) for edge in graph.kept_edges()]
    pinned = [one for _, *ids in supernodes for one in ids]
    pinned += [named[number] for number in numbers if graph.node(number).kind == LOGIT] if pinned else []
    biases, bias_links = _biases(graph, named)
    return {
        "metadata": {
            "slug": slug,
            "scan": graph.model_name,
            "transcoder_list": [],
            "prompt_tokens": list(graph.tokens),
            "prompt": graph.prompt,
            "node_threshold": graph.node_share,
            "schema_version": 1,
        },
        "qParams": {
            "linkType": "both",
            "pinnedIds": pinned,
            "clickedId": "",
            "supernodes": [list(one) for one in supernodes],
            "sg_pos": "",
        },
        "nodes": [*nodes, *biases],
        "links": [*links, *bias_links],
    }


def _link(edge: GraphEdge, named: Mapping[int, str], carried: EdgeHeads | None) -> dict[str, Any]:
    link: dict[str, Any] = {"source": named[edge.source], "target": named[edge.target], "weight": edge.effect}
    if carried is not None:
        link |= {"residual": carried.residual, "heads": [one.to_json() for one in carried.heads]}
    return link


def node_id(graph: AttributionGraph, node: Node) -> str:
    """The id of a node, unique within its graph."""
    if node.kind == FEATURE:
        return f"{node.layer}_{node.feature}_{node.position}"
    if node.kind == ERROR:
        return f"error_{node.layer}_{node.position}"
    return f"{'E' if node.kind == TOKEN else graph.n_layers + 1}_{node.feature}_{node.position}"


def _node(graph: AttributionGraph, number: int, name: str, words: str) -> dict[str, Any]:
    node = graph.node(number)
    layer = {TOKEN: "E", LOGIT: str(graph.n_layers + 1)}.get(node.kind, str(node.layer))
    kinds = {FEATURE: "cross layer transcoder", ERROR: "mlp reconstruction error", TOKEN: "embedding", LOGIT: "logit"}
    feature = {FEATURE: _pairing(node.layer, node.feature or 0), ERROR: -1, TOKEN: node.position}
    short = {FEATURE: f"{node.layer}_{node.feature}-0", ERROR: f"{node.layer}_{node.position}-0"}
    short |= {TOKEN: f"E_{node.feature}-{node.position}", LOGIT: f"L_{node.feature}-{node.position}"}
    logit = node.kind == LOGIT
    first = logit and graph.targets[0].token == node.feature
    label = f'Output "{node.label}" (p={node.activation:.3f})' if logit else words
    return {
        "node_id": name,
        "feature": int(feature.get(node.kind, node.feature or 0)),
        "layer": layer,
        "ctx_idx": node.position,
        "feature_type": kinds[node.kind],
        "token_prob": float(node.activation or 0.0) if logit else 0.0,
        "is_target_logit": bool(first),
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": short[node.kind],
        "clerp": label,
        "influence": node.influence,
        "activation": node.activation if node.kind == FEATURE else None,
    }


def _pairing(first: int, second: int) -> int:
    """One number for two (Cantor's pairing), as circuit-tracer numbers features over layers."""
    return (first + second) * (first + second + 1) // 2 + second


def _biases(graph: AttributionGraph, named: Mapping[int, str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Bias nodes, and their links to every kept target."""
    targets = {row: named[number] for number, row in _rows(graph, named)}
    nodes, links = [], []
    for column, words in enumerate(graph.bias_names):
        name = f"B_{column}_0"
        links += [
            {"source": name, "target": target, "weight": float(graph.biases[row, column])}
            for row, target in targets.items()
        ]
        nodes.append(_bias_node(name, column, words))
    return nodes, links


def _rows(graph: AttributionGraph, named: Mapping[int, str]) -> list[tuple[int, int]]:
    """Number and row of every kept node that has inputs: features and logits."""
    first = graph.n_errors + graph.n_positions
    return [
        (number, number if number < graph.n_features else number - first)
        for number in named
        if number < graph.n_features or number >= graph.n_features + first
    ]


def _bias_node(name: str, column: int, words: str) -> dict[str, Any]:
    return {
        "node_id": name,
        "feature": column,
        "layer": "E",
        "ctx_idx": 0,
        "feature_type": "bias",
        "token_prob": 0.0,
        "is_target_logit": False,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": f"B_{column}-0",
        "clerp": words,
        "influence": None,
        "activation": None,
    }
