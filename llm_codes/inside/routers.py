"""Does a router say which experts a token goes to? Checked on the model itself, once, on a probe of a few tokens:

    routed = sum over the k experts with the largest logits of  softmax(logits)[expert] * expert(mlp_in)

with the k weights as they are or scaled to sum to one (the same as a softmax over the k alone), and

    mlp_out = routed, or routed + shared, or routed + sigmoid(shared gate) * shared

Shazeer et al. 2017, "Outrageously large neural networks", section 2. Experts of one layer are one module; what a single
one computes is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from llm_codes.content_hashes import once_per_weights
from llm_codes.inside.findings import InsideChecks
from llm_codes.inside.views import EXPERTS, MARK, ROUTERS
from llm_codes.site_checks import probe_tokens, relative_error, tolerance

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel

COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")
INPUT, OUTPUT, SHARED, SHARED_GATE = (
    "mlp.hook_in",
    "mlp.hook_out",
    "mlp.shared_expert.hook_out",
    "mlp.shared_expert_gate.hook_out",
)


def n_experts(model: HookedModel) -> int:
    """Experts of a layer as the configuration says; 0 for a model without."""
    own: Any = getattr(getattr(model.bridge, "original_model", None), "config", None)
    own = own.get_text_config() if hasattr(own, "get_text_config") else own
    return next((int(count) for name in COUNTS if (count := getattr(own, name, None))), 0)


@once_per_weights
def router_checks(model: HookedModel) -> InsideChecks:
    """The checks of every layer: `router`, and `experts` where something else adds to what they do."""
    found, errors = InsideChecks(), []
    suffixes = (*ROUTERS, INPUT, OUTPUT, EXPERTS, SHARED, SHARED_GATE)
    names = [f"blocks.{layer}.{suffix}" for layer in range(model.n_layers) for suffix in suffixes]
    seen: dict[str, Tensor] = {}
    if n_experts(model):
        tokens = probe_tokens(model.vocabulary_size, model.context)
        viewed = [name + MARK * name.endswith(ROUTERS) for name in names if name in model.hook_names]
        model.stream(tokens, viewed, lambda name, values: seen.__setitem__(name.removesuffix(MARK), values))
    for layer in range(model.n_layers):
        read = {suffix: seen.get(f"blocks.{layer}.{suffix}") for suffix in suffixes}
        reason, error = _router(model, layer, read)
        if reason:
            found.reasons["router", layer] = reason
        else:
            errors.append(error)
            found.shapes["router", layer] = (n_experts(model), 1)
        reason, error = _experts(read, bool(n_experts(model)))
        if reason:
            found.reasons["experts", layer] = reason
        else:
            errors.append(error)
            found.shapes["experts", layer] = (1, model.d_model)
    return InsideChecks(found.shapes, found.reasons, max(errors, default=None))


@torch.no_grad()
def _router(model: HookedModel, layer: int, read: dict[str, Tensor | None]) -> tuple[str, float]:
    """Why the router of a layer is not offered (empty: it is), and the error of what it routes."""
    if not n_experts(model):
        return "its MLP has no experts", 0.0
    logits = next((read[name] for name in ROUTERS if read[name] is not None), None)
    entering, out = read[INPUT], read[OUTPUT]
    if logits is None or logits.shape[-1] != n_experts(model):
        return "no logits of a router are read here", 0.0
    block = getattr(model.bridge.blocks[layer].mlp, "original_component", None)
    experts = getattr(block, "experts", None)
    if experts is None or entering is None or out is None:
        return "no experts are within reach to check it on", 0.0
    routed = read[EXPERTS]
    target = out if routed is None else routed
    flat = entering.reshape(-1, entering.shape[-1])
    errors = [
        relative_error(experts(flat, index, weights.to(flat.dtype)).reshape(target.shape), target)
        for index, weights in _routings(logits.flatten(0, 1), _chosen(model))
    ]
    if not min(errors) < tolerance(out.dtype):
        return f"what its logits route differs from what the experts add by {min(errors):.0%}", min(errors)
    return "", min(errors)


def _chosen(model: HookedModel) -> int:
    """Experts that a token goes to."""
    return int(model.bridge.original_model.config.get_text_config().num_experts_per_tok)


def _routings(logits: Tensor, chosen: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(expert, weight) of every token, each [token, k], in the two ways that models have."""
    weights, index = logits.float().softmax(-1).topk(chosen, dim=-1)
    yield index, weights
    yield index, weights / weights.sum(-1, keepdim=True)


def _experts(read: dict[str, Tensor | None], mixed: bool) -> tuple[str, float]:
    """Why the sum of the chosen experts is not offered as a site of its own (empty: it is), and the error."""
    if not mixed:
        return "its MLP has no experts", 0.0
    experts, out, shared, gate = (read[name] for name in (EXPERTS, OUTPUT, SHARED, SHARED_GATE))
    if experts is None or out is None or shared is None:
        return "no hook reads them; where no expert is shared, their sum is mlp_out", 0.0
    shares = shared if gate is None else gate.sigmoid() * shared
    error = relative_error((experts + shares).reshape(out.shape), out)
    if not error < tolerance(out.dtype):
        return f"experts + shared expert differs from mlp_out by {error:.0%}", error
    return "", error
