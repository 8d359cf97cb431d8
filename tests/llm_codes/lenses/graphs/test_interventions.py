"""The real model with everything held is the frozen one; the linear response is the sum over the graph's paths."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from llm_codes.lenses.graphs.frozen import freeze
from llm_codes.lenses.graphs.interventions import Change, Held, linear_response, respond, writes
from llm_codes.lenses.graphs.nodes import active_features
from llm_codes.lenses.graphs.study import attribution_graph

TOKENS = [0, 17, 45, 300, 45, 200, 9]


def prepared(both: Any, which: int) -> Any:
    model, transcoders = both[which]
    graph = attribution_graph(model, TOKENS, transcoders, target="the")
    frozen = freeze(model, torch.tensor(TOKENS))
    source = graph.n_features // 3
    layer, position, feature = graph.features[source].tolist()
    change = Change(layer, position, feature, float(graph.activations[source]), 1.0)
    return model, transcoders, graph, frozen, source, writes([change], transcoders, len(TOKENS))


def test_with_everything_held_the_real_model_does_what_the_edges_say(both: Any) -> None:
    model, transcoders, graph, frozen, source, added = prepared(both, 0)
    found = respond(model, frozen, added, Held(mlps=True, patterns=True, norms=True))
    measured = torch.stack(
        [
            found.mlp_in[layer, 0, position] @ transcoders[layer].encoder[:, feature]
            for layer, position, feature in graph.features.tolist()
        ]
    )
    assert torch.allclose(measured, graph.edges[:-1, source], atol=1e-10)
    logit = found.logits[0][graph.targets[0].token] - found.logits[0].mean()
    assert float(logit) == pytest.approx(float(graph.edges[-1, source]), abs=1e-10)


def test_what_is_not_held_responds(both: Any) -> None:
    model, _, _, frozen, _, added = prepared(both, 0)
    exact = respond(model, frozen, added, Held(mlps=True, patterns=True, norms=True)).logits
    for held in (Held(), Held(mlps=True), Held(mlps=True, patterns=True), Held(mlps=True, norms=True)):
        assert float((respond(model, frozen, added, held).logits - exact).abs().max()) > 1e-6
    nothing = respond(model, frozen, torch.zeros_like(added), Held())
    assert float(nothing.logits.abs().max()) < 1e-12 and float(nothing.mlp_in.abs().max()) < 1e-12


@pytest.mark.parametrize("which", [0, 1], ids=["gpt2", "llama with skip"])
def test_the_linear_response_is_the_sum_over_all_paths(both: Any, which: int) -> None:
    model, transcoders, graph, frozen, source, added = prepared(both, which)
    active = active_features(frozen, transcoders)
    found = linear_response(frozen, transcoders, active, added)
    n = graph.n_features
    per_unit = graph.edges[:n, :n] / graph.activations
    change = torch.zeros(n, dtype=torch.float64)
    change[source] = graph.activations[source]
    paths = torch.linalg.inv(torch.eye(n, dtype=torch.float64) - per_unit) @ (per_unit @ change)
    measured = torch.stack(
        [
            found.mlp_in[layer, 0, position] @ transcoders[layer].encoder[:, feature]
            for layer, position, feature in graph.features.tolist()
        ]
    )
    assert torch.allclose(measured, paths, atol=1e-8)
    logit = found.logits[0][graph.targets[0].token] - found.logits[0].mean()
    expected = (graph.edges[n, :n] / graph.activations) @ (paths + change)
    assert float(logit) == pytest.approx(float(expected), abs=1e-8)
