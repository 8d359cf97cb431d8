"""The exported JSON: the keys and types of circuit-tracer 0.5's reader, and links that sum to the activation."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from llm_codes.lenses.graphs.export import graph_json
from llm_codes.lenses.graphs.study import attribution_graph

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
