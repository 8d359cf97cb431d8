"""The curves: every prompt under every ranking, the rest ablated to a reference.

# 1 references  mean activation of each node over windows of text; for resampling, another document's activations
# 2 rankings    graph influence, integrated gradients, random
# 3 curves      logit difference and log probability where the first nodes are kept, at each share
# 4 together    faithfulness, areas, stability, by kind of prompt
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from eval.pieces import Pieces
from llm_codes.configs.faithfulness import FaithfulnessOptions
from llm_codes.configs.graphs import GraphOptions
from llm_codes.lenses.faithfulness.gates import FEATURES, NEURONS, SHUFFLED, Nodes, activations, gated_logits, shuffled
from llm_codes.lenses.faithfulness.prompts import Prompt
from llm_codes.lenses.faithfulness.rankings import (
    gates_of,
    gradient_scores,
    graph_scores,
    random_scores,
    strongest,
)
from llm_codes.lenses.faithfulness.rows import METRICS, PromptCurve, PromptCurves
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model

SHARES = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
KEPT = 100  # nodes of the sets whose stability is measured
DROPPED = 3  # words left out in front, for the same measurement
COMPLEMENT = "graph, complement"

References = dict[str, Tensor]
NodeSet = tuple[tuple[int, int, int], ...]


def mean_reference(model: Model, nodes: Nodes, windows: Tensor, batch_size: int = 16) -> Tensor:
    """Mean activation of every node over windows and positions after the first: [layer, 1, node]."""
    total = sum(activations(model, nodes, part)[:, :, 1:].sum((1, 2)) for part in windows.split(batch_size))
    assert isinstance(total, Tensor)
    return total[:, None] / (len(windows) * (windows.shape[1] - 1))


def references_of(model: Model, nodes: Nodes, mean: Tensor, donor: Sequence[int], length: int) -> References:
    """The ablations of one prompt: mean, and what another document has at the same places."""
    found = activations(model, nodes, torch.tensor([donor[:length]]))[:, 0]
    return {"mean": mean, "resample": found}


def measured(
    model: Model, nodes: Nodes, prompt: Prompt, gates: Tensor, reference: Tensor
) -> dict[str, tuple[float, ...]]:
    """Both metrics at every setting of the gates."""
    with torch.no_grad():
        logits = gated_logits(model, nodes, torch.tensor([prompt.tokens]), gates, reference)
    difference = logits[:, prompt.target] - logits[:, prompt.foil]
    loss = logits.log_softmax(-1)[:, prompt.target]
    return {name: tuple(values.tolist()) for name, values in zip(METRICS, (difference, loss), strict=True)}


def nodes_of(transcoders: Sequence[LayerTranscoder], beside: bool = True) -> tuple[Nodes, ...]:
    """What is kept and ablated: features with errors and without; beside them shuffled features, and neurons."""
    own, other = tuple(transcoders), shuffled(transcoders)
    features = (Nodes(FEATURES, own), Nodes(FEATURES, own, False))
    return (*features, Nodes(SHUFFLED, other), Nodes(SHUFFLED, other, False), Nodes(NEURONS)) if beside else features


def curves_of_prompt(
    model: Model,
    transcoders: Sequence[LayerTranscoder],
    prompt: Prompt,
    donor: Sequence[int],
    means: dict[str, Tensor],
    options: FaithfulnessOptions,
    memory_gb: float | None = None,
    seed: int = 0,
    beside: bool = True,
) -> PromptCurves:
    """Metrics of the model and of every curve, and the sets kept.

    beside: what features are compared with as well, and random orders and complements; without: their own two curves.
    means: `mean_reference` by kind of node. donor: tokens of a window of another document. memory_gb: of the graph.
    """
    generator = torch.Generator().manual_seed(seed)
    limits = GraphOptions(max_features=options.graph_features, graph_memory_gb=memory_gb)
    by_graph = graph_scores(model, transcoders, prompt, limits, generator)
    curves: list[PromptCurve] = []
    sets = {"graph": _set(by_graph)}
    for nodes in nodes_of(transcoders, beside):
        references = references_of(model, nodes, means[nodes.kind], donor, len(prompt.tokens))
        for ablation, reference in references.items():
            gradients = gradient_scores(model, nodes, prompt, reference, options.steps)
            scores = {"gradients": gradients, "random": random_scores(tuple(gradients.shape), generator)}
            if nodes.kind == FEATURES:
                scores = {"graph": by_graph, COMPLEMENT: by_graph, **scores}
                if nodes.errors:
                    sets[f"gradients, {ablation}"] = _set(gradients)
            if not beside:
                scores = {name: scores[name] for name in ("graph", "gradients")}
            for ranking, order in scores.items():
                gates = gates_of(order, SHARES)
                if ranking == COMPLEMENT:
                    gates[:, :, 1:] = 1 - gates[:, :, 1:]
                found = measured(model, nodes, prompt, gates, reference)
                curves.append(PromptCurve(nodes.kind, _errors(nodes), ablation, ranking, found))
    sets["gradients, fewer words before"] = _fewer_words(model, transcoders, prompt, means, options)
    places = model.n_layers * (len(prompt.tokens) - 1)
    return PromptCurves(_whole(model, prompt), tuple(curves), sets, places)


def _fewer_words(
    model: Model,
    transcoders: Sequence[LayerTranscoder],
    prompt: Prompt,
    means: dict[str, Tensor],
    options: FaithfulnessOptions,
) -> NodeSet:
    tokens = (prompt.tokens[0], *prompt.tokens[1 + DROPPED :])
    shorter = Prompt(prompt.kind, tokens, prompt.target, prompt.foil, prompt.document)
    nodes = Nodes(FEATURES, tuple(transcoders))
    return _set(gradient_scores(model, nodes, shorter, means[FEATURES], options.steps))


def _set(scores: Tensor) -> NodeSet:
    return tuple(sorted(strongest(scores, KEPT)))


def _errors(nodes: Nodes) -> str:
    return "none" if nodes.kind == NEURONS else "stay" if nodes.errors else "ablated"


def _whole(model: Model, prompt: Prompt) -> dict[str, float]:
    with torch.no_grad():
        logits = model.logits(torch.tensor([prompt.tokens]))[0, -1]
    difference = float(logits[prompt.target] - logits[prompt.foil])
    return dict(zip(METRICS, (difference, float(logits.log_softmax(-1)[prompt.target])), strict=True))


def donors(
    prompts: Sequence[Prompt], windows: Sequence[Sequence[int]], documents: Sequence[int], seed: int
) -> list[Sequence[int]]:
    """A window of another document for each prompt."""
    generator = np.random.default_rng(seed)
    out = []
    for prompt in prompts:
        others = [number for number, document in enumerate(documents) if document != prompt.document]
        out.append(windows[int(generator.choice(others or range(len(windows))))])
    return out


def all_curves(
    model: Model,
    transcoders: Sequence[LayerTranscoder],
    prompts: Sequence[Prompt],
    windows: Tensor,
    documents: Sequence[int],
    options: FaithfulnessOptions,
    *,
    batch_size: int = 16,
    memory_gb: float | None = None,
    seed: int = 0,
    pieces: Pieces = Pieces(),  # noqa: B008 (frozen)
    beside: bool = True,
) -> list[PromptCurves]:
    """`curves_of_prompt` of every prompt, each a piece. windows: full ones."""

    @cache
    def means() -> References:
        kinds = (Nodes(FEATURES, tuple(transcoders)), Nodes(NEURONS))
        found = {nodes.kind: mean_reference(model, nodes, windows, batch_size) for nodes in kinds}
        return found | {SHUFFLED: found[FEATURES]}

    given = donors(prompts, windows.tolist(), documents, seed)

    def curves(number: int) -> PromptCurves:
        own = prompts[number], given[number]
        return curves_of_prompt(model, transcoders, *own, means(), options, memory_gb, seed + number, beside)

    return pieces.items(PromptCurves, {f"prompt-{number}": partial(curves, number) for number in range(len(prompts))})
