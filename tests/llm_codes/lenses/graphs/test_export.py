"""The exported JSON: the keys and types of circuit-tracer 0.5's reader, and links that sum to the activation."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
import torch

from llm_codes.configs.graphs import GraphOptions
from llm_codes.lenses.graphs.attention.head_loadings import edge_heads
from llm_codes.lenses.graphs.export import graph_json, node_id
from llm_codes.lenses.graphs.nodes import frozen_prompt
from llm_codes.lenses.graphs.study import attribution_graph, graph_of

TOKENS = [0, 17, 45, 300, 45]
# circuit_tracer.frontend.graph_models, 0.5.0: required fields and their types
METADATA = {"slug": str, "scan": str, "transcoder_list": list, "prompt_tokens": list, "prompt": str}
QPARAMS = {"pinnedIds": list, "supernodes": list, "linkType": str, "clickedId": str, "sg_pos": str}
NODE = {"node_id": str, "feature": int, "layer": str, "ctx_idx": int, "feature_type": str, "jsNodeId": str}
OPTIONAL = {"clerp": str, "token_prob": float, "is_target_logit": bool, "run_idx": int, "reverse_ctx_idx": int}


def checked(part: dict[str, Any], kinds: dict[str, type]) -> None:
    for key, kind in kinds.items():
        assert type(part[key]) is kind, (key, part[key])


def test_the_reader_of_circuit_tracer_finds_every_field(both: Any) -> None:
    model, transcoders = both[0]
    graph = attribution_graph(model, TOKENS, transcoders)
    found = json.loads(json.dumps(graph_json(graph)))
    checked(found["metadata"], METADATA)
    checked(found["qParams"], QPARAMS)
    for node in found["nodes"]:
        checked(node, {**NODE, **OPTIONAL})
        assert node["influence"] is None or isinstance(node["influence"], float)
    ids = [node["node_id"] for node in found["nodes"]]
    assert len(set(ids)) == len(ids)
    for link in found["links"]:
        checked(link, {"source": str, "target": str, "weight": float})
        assert link["source"] in ids and link["target"] in ids
    kinds = {node["feature_type"] for node in found["nodes"]}
    assert kinds == {"cross layer transcoder", "mlp reconstruction error", "embedding", "logit", "bias"}
    assert sum(node["is_target_logit"] for node in found["nodes"]) == 1


def test_links_into_a_node_sum_to_its_activation_where_nothing_is_pruned(both: Any) -> None:
    model, transcoders = both[0]
    graph = attribution_graph(model, TOKENS, transcoders, node_share=1.0, edge_share=1.0)
    found = graph_json(graph)
    sums: dict[str, float] = defaultdict(float)
    for link in found["links"]:
        sums[link["target"]] += link["weight"]
    features = [node for node in found["nodes"] if node["activation"] is not None]
    assert len(features) > 20
    for node in features:
        assert sums[node["node_id"]] == pytest.approx(node["activation"], rel=1e-4, abs=1e-6)


def test_links_say_which_heads_carry_them(both: Any) -> None:
    model, transcoders = both[0]
    tokens = torch.tensor(TOKENS)
    prompt = frozen_prompt(model, tokens, transcoders)
    graph = graph_of(model, tokens, transcoders, GraphOptions(), prompt)
    shown = edge_heads(graph, prompt, transcoders, graph.kept_edges()[:150])
    assert len(shown) == 150, "more than are in memory at once"
    links = {(link["source"], link["target"]): link for link in graph_json(graph, heads=shown)["links"]}
    carried = [link for link in links.values() if "heads" in link]
    assert len(carried) == 150
    for edge in shown:
        link = links[tuple(node_id(graph, graph.node(number)) for number in (edge.source, edge.target))]
        assert link["residual"] == edge.residual and link["weight"] == edge.effect
        assert link["heads"] == [{"layer": one.layer, "head": one.head, "effect": one.effect} for one in edge.heads]
    once = [edge for edge in shown if graph.node(edge.source).layer == 0 and graph.node(edge.target).layer == 1]
    assert once, "edges that pass at most one layer of attention: its heads and the residual stream are the edge"
    whole = [edge.residual + sum(one.effect for one in edge.heads) for edge in once]
    assert whole == pytest.approx([edge.effect for edge in once], rel=1e-4, abs=1e-8)
