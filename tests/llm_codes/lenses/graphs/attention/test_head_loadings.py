"""Head loadings: an edge less the same edge without the head; neighbours' edges are residual part and heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from llm_codes.configs.graphs import GraphOptions
from llm_codes.lenses.graphs.attention.head_loadings import edge_heads, head_loadings
from llm_codes.lenses.graphs.effects import direct_effects
from llm_codes.lenses.graphs.nodes import FrozenPrompt, frozen_prompt
from llm_codes.lenses.graphs.rows import GraphEdge
from llm_codes.lenses.graphs.study import graph_of, prompt_tokens
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.models import load_model
from tests.llm_codes.lenses.graphs.conftest import random_transcoders


def drawn(graph: Any, count: int) -> list[GraphEdge]:
    """Edges of all kinds: from features, errors and tokens, to features and logits."""
    edges = graph.kept_edges()
    return [edges[place] for place in torch.randperm(len(edges), generator=torch.Generator().manual_seed(0))[:count]]


def without(prompt: FrozenPrompt, layer: int, head: int) -> FrozenPrompt:
    """The same frozen model with a head that writes nothing."""
    layers = list(prompt.frozen.layers)
    output = layers[layer].output.clone()
    output[head] = 0
    layers[layer] = replace(layers[layer], output=output)
    return FrozenPrompt(replace(prompt.frozen, layers=tuple(layers)), prompt.active)


@pytest.mark.parametrize("skip", [False, True])
def test_a_loading_is_what_the_edge_loses_without_the_head(gpt2_like, skip: bool) -> None:
    transcoders = open_transcoders(gpt2_like, random_transcoders(gpt2_like, 48, skip=skip))
    tokens = prompt_tokens(gpt2_like, [1, 5, 9, 2, 7, 3])
    prompt = frozen_prompt(gpt2_like, tokens, transcoders)
    graph = graph_of(gpt2_like, tokens, transcoders, GraphOptions(node_share=1.0, edge_share=1.0), prompt)
    edges = drawn(graph, 60)
    found = head_loadings(graph, prompt, transcoders, edges)
    kept = torch.arange(graph.n_features)
    rows = [e.target if e.target < graph.n_features else e.target - graph.n_errors - graph.n_positions for e in edges]
    columns = [edge.source for edge in edges]
    for layer in range(gpt2_like.n_layers):
        for head in range(found.heads.shape[2]):
            ablated = without(prompt, layer, head)
            effects = direct_effects(ablated.frozen, transcoders, prompt.active, kept, graph.targets).edges
            lost = graph.edges[rows, columns] - effects[rows, columns]
            torch.testing.assert_close(found.heads[layer, :, head], lost, rtol=1e-6, atol=1e-9)


def test_between_neighbours_residual_part_and_heads_add_up() -> None:
    model = load_model("embedded")
    transcoders = open_transcoders(model)
    tokens = prompt_tokens(model, "The President of the United")
    prompt = frozen_prompt(model, tokens, transcoders)
    graph = graph_of(model, tokens, transcoders, GraphOptions(max_features=300), prompt)
    near = [e for e in graph.kept_edges() if graph.node(e.target).layer == graph.node(e.source).layer + 1][:40]
    for edge in edge_heads(graph, prompt, transcoders, near):
        if graph.node(edge.target).kind == "logit":  # the last layer's features reach logits through no attention
            assert edge.heads == () and edge.residual == pytest.approx(edge.effect, rel=1e-4, abs=1e-5)
    found = head_loadings(graph, prompt, transcoders, near)
    wanted = torch.tensor([edge.effect for edge in near])
    torch.testing.assert_close(found.heads.sum((0, 2)) + found.residual, wanted, rtol=1e-3, atol=1e-4)
    assert edge_heads(graph, prompt, transcoders, []) == ()
