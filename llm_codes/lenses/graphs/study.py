"""Which features of which layers make the next token, and how? The attribution graph of one prompt.

    # 1 freeze    one pass; attention patterns and norm denominators are held at the prompt's values
    # 2 sources   active transcoder features of every layer, errors, token embeddings
    # 3 keep      where there are too many features, those with the largest total effect on the targets
    # 4 effects   direct effect of every source on every target (`effects`)
    # 5 prune     nodes and edges by influence (`eval.measures.graphs`)

[Ameisen et al. 2025, Circuit tracing; Hanna et al. 2025, circuit-tracer, the oracle of the numbers]
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.graphs.influence import normalised, prune, replacement_and_completeness
from eval.options import chosen
from llm_codes.configs.graphs import GraphOptions
from llm_codes.lenses.graphs.effects import bias_names, direct_effects
from llm_codes.lenses.graphs.frozen import FrozenModel
from llm_codes.lenses.graphs.nodes import ActiveFeatures, FrozenPrompt, frozen_prompt, total_effects
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.targets import LogitTarget, logit_targets
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders
from llm_codes.models import Model, load_model


def attribution_graph(
    model: Any,
    prompt: str | Sequence[int],
    transcoders: Any = None,
    options: GraphOptions | None = None,
    **changes: Any,
) -> AttributionGraph:
    """The graph of a prompt: features, errors, tokens and logits, and the direct effects between them.

        graph = attribution_graph("embedded", "The people of the United")
        graph.nodes(pruned=True), graph.edges, graph.completeness

    Args:
        model: a `Model`, or what `load_model` opens. prompt: text (BOS is put in front), or token ids as they are.
        transcoders: see `open_transcoders`; those that ship, for the embedded model.
        options, changes: `GraphOptions`, and single ones by name (`target=" States"`, `max_features=2000`).

    Raises:
        UserError: an unknown option; a prompt that is too short or too long; a target that is no token; transcoders
            that do not fit; blocks that cannot be frozen; more memory than allowed.
    """
    asked = chosen(GraphOptions, options, changes)
    model = load_model(model)
    opened = transcoders if _is_open(transcoders) else open_transcoders(model, transcoders)
    return graph_of(model, prompt_tokens(model, prompt), opened, asked)


def prompt_tokens(model: Model, prompt: str | Sequence[int]) -> Tensor:
    """Token ids of a prompt; a text gets the model's first token in front, as windows of a corpus do."""
    if isinstance(prompt, str):
        first = [] if model.bos_token_id is None else [model.bos_token_id]
        prompt = [*first, *model.encode(prompt)]
        if len(prompt) - len(first) < 1:
            raise UserError("expected a prompt of at least one word; got an empty text; write one")
    tokens = torch.tensor([int(token) for token in prompt], dtype=torch.long)
    if bool((tokens < 0).any()) or bool((tokens >= model.vocabulary_size).any()):
        raise UserError(
            f"expected token ids in 0..{model.vocabulary_size - 1}; got {int(tokens.min())} to {int(tokens.max())}; "
            "use the model's own tokenizer"
        )
    return model.check_tokens(tokens[None])[0]


def graph_of(
    model: Model,
    tokens: Tensor,
    transcoders: Sequence[LayerTranscoder],
    options: GraphOptions,
    prompt: FrozenPrompt | None = None,
) -> AttributionGraph:
    """The graph of a prompt's tokens; see `attribution_graph`. prompt: where it is frozen already."""
    started = time.perf_counter()
    prompt = prompt or frozen_prompt(model, tokens, transcoders, options.featureless_positions)
    frozen, active = prompt.frozen, prompt.active
    with torch.no_grad():
        targets = logit_targets(model, frozen, options)
        kept = strongest(frozen, transcoders, active, targets, options.max_features)
        check_memory(len(kept), frozen, len(targets), options)
        effects = direct_effects(frozen, transcoders, active, kept, targets)
        weights = torch.tensor([target.weight for target in targets]).to(effects.edges)
        n_errors = len(frozen.layers) * frozen.n_positions
        shares, n = normalised(effects.edges), frozen.n_positions
        limits = {"node_share": options.node_share, "edge_share": options.edge_share}
        pruned = prune(effects.edges, shares, weights, n, **limits)
        scores = replacement_and_completeness(shares, pruned.influence, weights, n_errors, n)
    features = active.only(kept)
    return AttributionGraph(
        model_name=model.name,
        n_layers=model.n_layers,
        tokens=tuple(model.token_strings(tokens.tolist())),
        token_ids=tuple(tokens.tolist()),
        targets=targets,
        features=features.places,
        activations=features.values,
        edges=effects.edges,
        biases=effects.biases,
        bias_names=bias_names(model.n_layers),
        pruned=pruned,
        n_active=len(active.values),
        replacement=scores[0],
        completeness=scores[1],
        node_share=options.node_share,
        seconds=time.perf_counter() - started,
    )


def strongest(
    frozen: FrozenModel,
    transcoders: Sequence[LayerTranscoder],
    active: ActiveFeatures,
    targets: tuple[LogitTarget, ...],
    count: int,
) -> Tensor:
    """Rising indices of the features with the largest total effect on the targets; of all where they are few."""
    everything = torch.arange(len(active.values), device=active.values.device)
    if not count or len(everything) <= count:
        return everything
    weights = torch.tensor([target.weight for target in targets]).to(active.values)
    effects = weights @ total_effects(frozen, transcoders, active, targets).abs()
    return effects.topk(count).indices.sort().values


def check_memory(n_features: int, frozen: FrozenModel, n_targets: int, options: GraphOptions) -> None:
    """Refuse a graph that would not fit, before it is computed.

    Raises:
        UserError: the edges, and their copies while pruning, take more than allowed.
    """
    columns = n_features + (len(frozen.layers) + 1) * frozen.n_positions
    needed = 2.5 * (n_features + n_targets) * columns * frozen.embeddings.element_size() / 1e9
    limit = options.graph_memory_gb
    if limit is not None and needed > limit:
        raise UserError(
            f"expected a graph within {limit:g} GB (--graph-memory-gb); {n_features:,} features need about "
            f"{needed:.1f} GB; lower --max-features to {int(n_features * (limit / needed) ** 0.5 * 0.95)}"
        )


def _is_open(transcoders: Any) -> bool:
    return isinstance(transcoders, tuple) and all(isinstance(item, LayerTranscoder) for item in transcoders)
