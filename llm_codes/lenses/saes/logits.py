"""What a feature's direction does to the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.models import Model

RESIDUAL_KINDS = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
"""Sites whose vectors the unembedding can read."""


@torch.no_grad()
def logits_effect(model: Model, sae: SAEFolder, features: Sequence[int], count: int = 5) -> list[dict[str, list[str]]]:
    """Tokens that each output feature's vector promotes and demotes directly (`direct_logits`)."""
    out = []
    for row in direct_logits(model, sae.vectors[list(features)]):
        up, down = row.topk(count).indices.tolist(), (-row).topk(count).indices.tolist()
        out.append({"promotes": model.token_strings(up), "demotes": model.token_strings(down)})
    return out


@torch.no_grad()
def direct_logits(model: Model, vectors: Float[Tensor, "vector width"]) -> Float[Tensor, "vector token"]:
    """What vectors added to the stream do to the logits directly: through the unembedding, with the final norm's gain
    applied, its rescaling and later layers not. Mean 0 over the vocabulary."""
    bridge: Any = model.bridge
    unembed = bridge.unembed.weight.detach().float() if hasattr(bridge.unembed, "weight") else bridge.W_U.T.detach()
    unembed = unembed if unembed.shape[0] == model.vocabulary_size else unembed.T
    gain = _final_gain(bridge)
    vectors = vectors.to(unembed.device).float()
    vectors = vectors - vectors.mean(1, keepdim=True)
    effect = (vectors * gain) @ unembed.T
    return effect - effect.mean(1, keepdim=True)


def _final_gain(bridge: Any) -> Tensor | float:
    weight = getattr(getattr(bridge, "ln_final", None), "weight", None)
    return 1.0 if weight is None else weight.detach().float()
