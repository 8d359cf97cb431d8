"""Tiny models in float64 with random transcoders, of both kinds of block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.models import Model, load_model
from llm_codes.sites import resolve_site


def random_transcoders(model: Model, width: int = 96, *, skip: bool = False, seed: int = 0) -> list[SAEFolder]:
    """A ReLU transcoder for each layer (with a skip map where asked), of sae-lens' own classes."""
    from sae_lens.saes.transcoder import SkipTranscoder, SkipTranscoderConfig, Transcoder, TranscoderConfig

    torch.manual_seed(seed)
    out = []
    for layer in range(model.n_layers):
        options: dict[str, Any] = {"d_in": model.d_model, "d_out": model.d_model, "d_sae": width}
        options |= {"apply_b_dec_to_input": False, "dtype": "float64"}
        sae = SkipTranscoder(SkipTranscoderConfig(**options)) if skip else Transcoder(TranscoderConfig(**options))
        with torch.no_grad():
            for parameter in sae.parameters():
                parameter.normal_(0, 0.2)
        sae = sae.double().eval()
        hooks = [resolve_site(model, kind, layer).hook for kind in ("mlp_in", "mlp_out")]
        out.append(SAEFolder(sae, hooks[0], hooks[1], {}, f"layer-{layer}"))
    return out


@pytest.fixture(scope="session")
def gpt2_like(tiny_model_folder: Path) -> Model:
    """Two layers with LayerNorm, biases and learned positions."""
    model = load_model(tiny_model_folder, dtype="float64")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # the untrained model's biases are 0 and its gains 1, which would hide their mistakes
        for parameter in model.bridge.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


@pytest.fixture(scope="session")
def llama_like(gpt2_like: Model) -> Model:
    """Two layers with RMSNorm, rotary positions, grouped heads and a gated MLP."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=320, max_position_embeddings=64))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return load_model(network.double().eval(), tokenizer=gpt2_like.tokenizer)


@pytest.fixture(scope="session")
def both(gpt2_like: Model, llama_like: Model) -> list[tuple[Model, tuple[LayerTranscoder, ...]]]:
    """The GPT-2 type with plain transcoders, the Llama type with skip transcoders."""
    return [
        (gpt2_like, open_transcoders(gpt2_like, random_transcoders(gpt2_like))),
        (llama_like, open_transcoders(llama_like, random_transcoders(llama_like, skip=True))),
    ]
