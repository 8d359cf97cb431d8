"""Bad input is one line before any work; the shipped transcoders give a graph of the embedded model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.errors import UserError
from llm_codes import attribution_graph, load_dictionary, load_model
from llm_codes.lenses.graphs.frozen import freeze
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.models import Model
from tests.llm_codes.lenses.graphs.conftest import random_transcoders

TOKENS = [0, 17, 45, 300]


def refused(words: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(UserError) as caught:
        attribution_graph(*arguments, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_prompt_of_one_token_or_none_or_beyond_the_context(both: Any) -> None:
    model, transcoders = both[0]
    refused("expected a prompt of at least 2 tokens, BOS included; got 1", model, [0], transcoders)
    refused("expected a prompt of at least one word; got an empty text", model, "", transcoders)
    refused("65 tokens exceed the context of", model, [0] * 65, transcoders)
    refused("expected token ids in 0..319; got 0 to 320", model, [0, 320], transcoders)


def test_a_target_that_is_no_token(both: Any) -> None:
    model, transcoders = both[0]
    refused("expected a target that is one token of", model, TOKENS, transcoders, target="xylophone")
    refused("expected --target beside --against 'the'; got none", model, TOKENS, transcoders, against="the")
    refused("expected two tokens; got 'the' as", model, TOKENS, transcoders, target="the", against="the")


def test_memory_is_said_before_it_is_taken(both: Any) -> None:
    model, transcoders = both[0]
    refused("lower --max-features to", model, TOKENS, transcoders, graph_memory_gb=1e-4)
    advice = 0
    try:
        attribution_graph(model, TOKENS, transcoders, graph_memory_gb=1e-3)
    except UserError as error:
        advice = int(str(error).rpartition(" ")[2])
    assert advice > 0
    attribution_graph(model, TOKENS, transcoders, graph_memory_gb=1e-3, max_features=advice)


def test_a_layer_without_a_transcoder_or_with_two(gpt2_like: Model) -> None:
    first, second = random_transcoders(gpt2_like)
    refused("expected a transcoder for each of the 2 layers", gpt2_like, TOKENS, [first])
    refused("got layer-0 and layer-0 for layer 0; name one", gpt2_like, TOKENS, [first, first, second])


def test_a_dictionary_of_another_kind_or_width_or_model(gpt2_like: Model, llama_like: Model, tmp_path: Path) -> None:
    refused("expected a transcoder from mlp_in to mlp_out", gpt2_like, TOKENS, [load_dictionary_like(gpt2_like)])
    refused("was trained with another tokenizer", gpt2_like, TOKENS)
    refused("which is none; check the path", gpt2_like, TOKENS, tmp_path / "nowhere")
    across = [dataclasses.replace(item) for item in random_transcoders(gpt2_like)]
    across[0] = dataclasses.replace(across[0], hook_out=across[1].hook_out)
    refused("reads layer 0 and writes layer 1", gpt2_like, TOKENS, across)


def load_dictionary_like(model: Model) -> Any:
    item = random_transcoders(model)[0]
    return dataclasses.replace(item, hook_out=item.hook)


def test_nan_in_the_model_is_named(gpt2_like: Model) -> None:
    broken = load_model(gpt2_like.bridge, tokenizer=gpt2_like.tokenizer)
    weight = broken.bridge.blocks[1].mlp.out.original_component.bias
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[0] = torch.nan
        with pytest.raises(
            UserError, match=r"has no mlp_out in layer 1: expected finite activations; got NaN or infinity"
        ):
            freeze(broken, torch.tensor(TOKENS))
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_blocks_that_cannot_be_frozen_are_named(gpt2_like: Model) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    network = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, vocab_size=320, max_position_embeddings=64))
    parallel = load_model(network, tokenizer=gpt2_like.tokenizer)
    with pytest.raises(UserError, match=r"\(GPTNeoXForCausalLM\) has attention and MLP in parallel, which cannot be"):
        freeze(parallel, torch.tensor(TOKENS))


def test_the_shipped_transcoders_give_a_graph_that_adds_up() -> None:
    graph = attribution_graph("embedded", "The people of the United")
    assert graph.targets[0].label == " States" and graph.targets[0].probability > 0.9
    assert graph.remainder() < 1e-4
    assert 0.5 < graph.replacement < 1 and 0.8 < graph.completeness < 1
    numbers = graph.kept_nodes()
    nodes = [graph.node(number) for number in numbers]
    assert {node.kind for node in nodes} >= {"feature", "token", "logit"}
    assert {number for edge in graph.kept_edges() for number in (edge.source, edge.target)} <= set(numbers)
    dictionary = load_dictionary("embedded", kind="transcoder", layer=0)
    assert dictionary.is_transcoder and dictionary.n_features == 1536
    model = load_model("embedded")
    assert len(open_transcoders(model)) == model.n_layers


def test_a_kind_of_dictionary_that_does_not_ship() -> None:
    with pytest.raises(UserError, match="kind of dictionary"):
        load_dictionary("embedded", kind="transcodr", layer=0)
    with pytest.raises(UserError, match="no dictionary ships at mlp_in->mlp_out@9"):
        load_dictionary("embedded", kind="transcoder", layer=9)
