"""Is it a causal model, does its tokenizer fit, does it compute the same with hooks as without? Asked at load."""

from __future__ import annotations

from typing import Any

import torch

from eval.errors import UserError
from llm_codes.hooked import HookedModel
from llm_codes.site_checks import PROBE_TOKENS, probe_tokens, relative_error, tolerance


def check_tokenizer(tokenizer: Any, rows: int, name: str) -> None:
    """Refuse a tokenizer whose tokens have no row in the embedding: the model would be asked for what it lacks."""
    size = len(tokenizer) if hasattr(tokenizer, "__len__") else 0
    if size > rows:
        raise UserError(
            f"expected a tokenizer of at most {rows} tokens, the rows of {name}'s embedding; got {size}, the first "
            f"that does not fit is {tokenizer.convert_ids_to_tokens(rows)!r} ({rows}); pass the model's own tokenizer="
        )


@torch.no_grad()
def probe_logits(network: Any, name: str) -> torch.Tensor:
    """Logits of a few tokens as transformers itself computes them; a model whose tokens see what follows is refused."""
    context = int(getattr(network.config, "max_position_embeddings", None) or PROBE_TOKENS)
    tokens = probe_tokens(int(network.get_input_embeddings().weight.shape[0]), context)
    tokens = tokens.to(next(network.parameters()).device)
    logits = network(tokens, use_cache=False).logits
    half = max(1, tokens.shape[1] // 2)
    error = relative_error(network(tokens[:, :half], use_cache=False).logits, logits[:, :half])
    if error > tolerance(logits.dtype):
        raise UserError(
            f"expected a causal language model; the logits of {name} ({type(network).__name__}) change by {error:.0%} "
            "with what follows a token; use a decoder"
        )
    return logits


@torch.no_grad()
def check_logits(model: HookedModel, plain: torch.Tensor) -> float:
    """The relative error of a hooked model's logits; one that computes something else is refused with the size.

    With processed weights logits may differ by a constant over the vocabulary: then their log-probabilities count.
    """
    hooked = model.logits(probe_tokens(plain.shape[-1], plain.shape[1]))
    if model.processing:
        hooked, plain = hooked.log_softmax(-1), plain.log_softmax(-1)
    error = relative_error(hooked, plain)
    if error > tolerance(model.dtype) and model.processing:
        raise UserError(
            f"expected {model.name} to compute the same with processed weights ({', '.join(model.processing)}); got "
            f"log-probabilities {error:.2%} off; use processing='raw'"
        )
    if error > tolerance(model.dtype):
        raise UserError(
            f"expected {model.name} to compute the same with hooks as without; got logits {error:.2%} off: its "
            f"architecture ({type(model.bridge.original_model).__name__}) is not hooked faithfully; use another model"
        )
    return error
