"""In which order are nodes kept? By influence in the attribution graph, by integrated gradients, or at random.

Integrated gradients over the gates, between everything ablated and the model:

    score(node) = mean over steps of d m / d gate (node), all gates at the same value

which for one node at a time is the change of m as it is put back: the node form of EAP-IG [Hanna, Pezzelle, Belinkov
2024], which ranks edges between a clean and a corrupted prompt; here the corrupted end is the reference.

Axes: layer, position, node. Scores: higher is kept first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.configs.graphs import GraphOptions
from llm_codes.lenses.faithfulness.gates import Nodes, gated_logits
from llm_codes.lenses.faithfulness.prompts import Prompt
from llm_codes.lenses.graphs.nodes import frozen_prompt
from llm_codes.lenses.graphs.study import graph_of
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model


def graph_scores(
    model: Model,
    transcoders: Sequence[LayerTranscoder],
    prompt: Prompt,
    options: GraphOptions,
    generator: torch.Generator,
) -> Float[Tensor, "layer position node"]:
    """Influence on the most probable next tokens; nodes that are not in the graph follow in random order."""
    tokens = torch.tensor(prompt.tokens)
    graph = graph_of(model, tokens, transcoders, options, frozen_prompt(model, tokens, transcoders))
    scores = random_scores((model.n_layers, len(tokens), transcoders[0].n_features), generator) - 1
    layer, position, feature = graph.features.T
    scores[layer, position, feature] = graph.pruned.influence[: graph.n_features].to(scores)
    return scores


def gradient_scores(
    model: Model, nodes: Nodes, prompt: Prompt, reference: Tensor, steps: int
) -> Float[Tensor, "layer position node"]:
    """Integrated gradients of the logit difference, absolute, midpoints of `steps` equal intervals."""
    levels = (torch.arange(steps, dtype=reference.dtype) + 0.5) / steps
    shape = (steps, model.n_layers, len(prompt.tokens), reference.shape[-1])
    gates = levels[:, None, None, None].expand(shape).clone().requires_grad_()
    with torch.enable_grad():
        logits = gated_logits(model, nodes, torch.tensor([prompt.tokens]), gates, reference)
        (slopes,) = torch.autograd.grad((logits[:, prompt.target] - logits[:, prompt.foil]).sum(), gates)
    return slopes.mean(0).abs()


def random_scores(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "layer position node"]:
    """An order drawn at random; scores in [0, 1)."""
    return torch.rand(shape, generator=generator)


def gates_of(
    scores: Float[Tensor, "layer position node"], shares: Sequence[float]
) -> Float[Tensor, "share layer position node"]:
    """1 for the nodes kept at each share, 0 for the others. The first position is no place of a node."""
    places = scores[:, 1:].flatten()
    order = places.argsort(descending=True, stable=True)
    out = torch.ones(len(shares), *scores.shape)
    for number, share in enumerate(shares):
        kept = torch.zeros(len(places))
        kept[order[: round(share * len(places))]] = 1
        out[number, :, 1:] = kept.view(len(scores), -1, scores.shape[-1])
    return out


def strongest(scores: Float[Tensor, "layer position node"], count: int) -> set[tuple[int, int, int]]:
    """The `count` nodes with the highest scores: layer, position from the end, node."""
    _, positions, n_nodes = scores.shape
    numbers = scores[:, 1:].flatten().topk(count).indices.tolist()
    out = set()
    for number in numbers:
        layer, rest = divmod(number, (positions - 1) * n_nodes)
        position, node = divmod(rest, n_nodes)
        out.add((layer, positions - 2 - position, node))
    return out
