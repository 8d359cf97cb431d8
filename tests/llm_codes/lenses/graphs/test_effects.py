"""Direct effects against brute force: the real model with patterns, denominators and MLPs held, a source moved."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.study import attribution_graph
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model
from llm_codes.sites import resolve_site

TOKENS = [0, 17, 45, 300, 45, 200, 9]


def activations(model: Model, tokens: Tensor, hooks: list[Any]) -> dict[str, Tensor]:
    """What every hook of the graph sees, under interventions."""
    names = [resolve_site(model, kind, layer).hook for layer in range(model.n_layers) for kind in ("mlp_in", "mlp_out")]
    names += [f"blocks.{layer}.{part}" for layer in range(model.n_layers) for part in FROZEN]
    names += ["ln_final.hook_scale"]
    seen: dict[str, Tensor] = {}
    keep = [(name, lambda value, hook, name=name: seen.__setitem__(name, value.detach().clone())) for name in names]
    seen["logits"] = model.logits(tokens, [*hooks, *keep]).detach()
    return seen


FROZEN = ("attn.hook_pattern", "ln1.hook_scale", "ln2.hook_scale")


def brute_force(
    model: Model, transcoders: tuple[LayerTranscoder, ...], graph: AttributionGraph, source: int, size: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Change of every feature's pre-activation and of the logits per unit, when one source grows by `size` of itself.

    Everything that is frozen is put back by hooks; MLPs write what they wrote, so that only direct paths are left (a
    transcoder's skip map follows its input).
    """
    tokens = torch.tensor([TOKENS])
    before = activations(model, tokens, [])
    node = graph.node(source)
    held: list[Any] = []
    for name, value in before.items():
        if any(name.endswith(part) for part in (*FROZEN, "ln_final.hook_scale")):
            held.append((name, lambda _, hook, value=value: value))
    inputs: dict[int, Tensor] = {}
    for layer, transcoder in enumerate(transcoders):
        into, out = (resolve_site(model, kind, layer).hook for kind in ("mlp_in", "mlp_out"))
        written = before[out].clone()
        if node.kind == "feature" and node.layer == layer:
            written[0, node.position] += size * node.activation * transcoder.decoder[node.feature]
        if node.kind == "error" and node.layer == layer:
            active = transcoder.active(before[into][0])
            active[:1] = 0
            made = active @ transcoder.decoder + transcoder.decoder_bias
            if transcoder.skip is not None:
                made = made + before[into][0] @ transcoder.skip
            written[0, node.position] += size * (before[out][0] - made)[node.position]

        def note(value: Tensor, hook: Any, layer: int = layer) -> None:
            inputs[layer] = value.detach()

        def write(_: Tensor, hook: Any, layer: int = layer, into: str = into, written: Tensor = written) -> Tensor:
            skip = transcoders[layer].skip
            return written if skip is None else written + (inputs[layer] - before[into]) @ skip

        held += [(into, note), (out, write)]
    if node.kind == "token":
        grow = torch.ones(1, len(TOKENS), 1, dtype=torch.float64)
        grow[0, node.position] += size
        held.append(("embed.hook_out", lambda value, hook: value * grow))
    after = activations(model, tokens, held)
    changes = []
    for layer, position, feature in graph.features.tolist():
        hook = resolve_site(model, "mlp_in", layer).hook
        moved = (after[hook] - before[hook])[0, position]
        changes.append(moved @ transcoders[layer].encoder[:, feature] / size)
    logits = (after["logits"] - before["logits"])[0, -1]
    logits = (logits - logits.mean()) / size
    return torch.stack(changes), logits


@pytest.mark.parametrize("which", [0, 1], ids=["gpt2", "llama with skip"])
def test_edges_are_the_finite_differences_of_the_frozen_model(both: Any, which: int) -> None:
    model, transcoders = both[which]
    graph = attribution_graph(model, TOKENS, transcoders, probability=0.5, top_logits=3)
    n, errors = graph.n_features, graph.n_errors
    sources = [0, n // 3, n - 2, n + 3, n + 2 * len(TOKENS) - 1, n + errors + 1, n + errors + len(TOKENS) - 1]
    accuracy = (1e-10, 1e-5)[which]  # transformers computes RMSNorm in float32 whatever the model's dtype
    assert graph.n_active == n and n > 100
    for source in sources:
        features, logits = brute_force(model, transcoders, graph, source)
        column = graph.edges[:, source]
        size = float(column.abs().max())
        assert size > 1e-6
        assert float((features - column[:n]).abs().max()) < accuracy * size
        wanted = torch.stack([logits[target.token] for target in graph.targets])
        assert float((wanted - column[n:]).abs().max()) < accuracy * size


@pytest.mark.parametrize("which", [0, 1], ids=["gpt2", "llama with skip"])
def test_edges_and_biases_of_a_row_are_the_activation(both: Any, which: int) -> None:
    model, transcoders = both[which]
    for changes in ({}, {"max_features": 60}, {"featureless_positions": 0}):
        assert attribution_graph(model, TOKENS, transcoders, **changes).remainder() < (1e-10, 1e-5)[which]
    fewer = attribution_graph(model, TOKENS, transcoders, max_features=60)
    every = attribution_graph(model, TOKENS, transcoders)
    assert fewer.n_features == 60 and fewer.n_active == every.n_features
    left_out = fewer.bias_names.index("features left out")
    assert float(fewer.biases[:, left_out].abs().max()) > 1e-3
    assert float(every.biases[:, left_out].abs().max()) < 1e-12
    # what is kept has the edges it has in the whole graph
    places = {tuple(place): number for number, place in enumerate(every.features.tolist())}
    numbers = [places[tuple(place)] for place in fewer.features.tolist()]
    whole = every.edges[numbers][:, numbers]
    assert torch.allclose(fewer.edges[:60, :60], whole, atol=1e-10)


def test_a_logit_difference_is_the_difference_of_its_logits(both: Any) -> None:
    model, transcoders = both[0]
    first, second = ("the", "cat")
    one, two, both_ = (
        attribution_graph(model, TOKENS, transcoders, target=target, against=against)
        for target, against in ((first, ""), (second, ""), (first, second))
    )
    assert torch.allclose(one.edges[-1] - two.edges[-1], both_.edges[-1], atol=1e-10)
    assert both_.targets[0].value == pytest.approx(one.targets[0].value - two.targets[0].value)
