"""Are the queries and keys that are read those that the pattern is computed from? Asked by interchange, once per model.

The model reads one text while its q and k, in every layer, are those of another text: then the pattern of every head
must be the other text's, whatever norm, rotation, position bias or soft cap lies between (interchange intervention:
Geiger et al. 2021, "Causal abstractions of neural networks", section 3). Then the last query head, and the last key
head, are changed by themselves: the patterns of the heads that use them must change, and no other head's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llm_codes.content_hashes import once_per_weights
from llm_codes.inside.findings import InsideChecks
from llm_codes.inside.heads import head_checks
from llm_codes.site_checks import PROBE_TOKENS, probe_tokens, relative_error, tolerance

if TYPE_CHECKING:
    from llm_codes.hooked import Hook, HookedModel

SUFFIXES = {"q": "attn.hook_q", "k": "attn.hook_k"}
PATTERN = "attn.hook_pattern"
CHANGE = -8.0
"""What one head is multiplied by: it changes even where queries are normed, and scores of fresh weights are small."""


@once_per_weights
def query_checks(model: HookedModel) -> InsideChecks:
    """The checks of every layer: `q` and `k` stand or fall together."""
    found = InsideChecks(reasons=_without(model))
    layers = [layer for layer in range(model.n_layers) if ("q", layer) not in found.reasons]
    if not layers:
        return found
    one = probe_tokens(model.vocabulary_size, model.context)
    other = (one + PROBE_TOKENS) % model.vocabulary_size
    read: dict[str, Tensor] = {}
    model.stream(other, [f"blocks.{n}.{s}" for n in layers for s in (*SUFFIXES.values(), PATTERN)], read.__setitem__)
    whole = _patterns(model, one, read, layers, {})
    query = _patterns(model, one, read, layers, {"q": _last_changed})
    key = _patterns(model, one, read, layers, {"k": _last_changed})
    errors = []
    for layer in layers:
        q, k, true = (read.get(f"blocks.{layer}.{suffix}") for suffix in (*SUFFIXES.values(), PATTERN))
        if q is None or k is None or true is None or q.ndim != 4 or k.ndim != 4:
            found.reasons.update({(kind, layer): "no queries and keys of heads are read here" for kind in SUFFIXES})
            continue
        error = relative_error(whole[layer], true)
        reason = (
            f"other queries and keys give a pattern that is {error:.0%} off" if not error < tolerance(q.dtype) else ""
        )
        for kind, changed, users in (("q", query, 1), ("k", key, q.shape[2] // k.shape[2])):
            reason = reason or _of_head(kind, changed[layer], true, users)
        if reason:
            found.reasons.update({(kind, layer): reason for kind in SUFFIXES})
            continue
        errors.append(error)
        found.shapes.update({("q", layer): _shape(q), ("k", layer): _shape(k)})
    return InsideChecks(found.shapes, found.reasons, max(errors, default=None))


def _without(model: HookedModel) -> dict[tuple[str, int], str]:
    """Layers whose pattern is not to be trusted, or that list no queries and keys."""
    reasons = {}
    for layer in range(model.n_layers):
        reason = head_checks(model).reasons.get(("pattern", layer), "")
        if not all(f"blocks.{layer}.{suffix}" in model.hook_names for suffix in SUFFIXES.values()):
            reason = reason or "no queries and keys of heads are read here"
        if reason:
            reasons.update({(kind, layer): reason for kind in SUFFIXES})
    return reasons


def _shape(values: Tensor) -> tuple[int, int]:
    return int(values.shape[2]), int(values.shape[3])


def _last_changed(values: Tensor) -> Tensor:
    out = values.clone()
    out[:, :, -1] *= CHANGE
    return out


@torch.no_grad()
def _patterns(
    model: HookedModel,
    tokens: Tensor,
    read: dict[str, Tensor],
    layers: list[int],
    change: dict[str, Callable[[Tensor], Tensor]],
) -> dict[int, Tensor]:
    """Patterns by layer, while q and k are those read from another text, changed where told."""
    seen: dict[int, Tensor] = {}
    hooks: list[Hook] = []
    for layer in layers:
        for kind, suffix in SUFFIXES.items():
            name = f"blocks.{layer}.{suffix}"
            if name in read:
                values = change.get(kind, lambda same: same)(read[name])
                hooks.append((name, lambda activation, hook, values=values: values))
        keep = f"blocks.{layer}.{PATTERN}"
        hooks.append((keep, lambda activation, hook, layer=layer: seen.__setitem__(layer, activation.detach())))
    model.logits(tokens, hooks)
    return seen


def _of_head(kind: str, changed: Tensor, true: Tensor, users: int) -> str:
    """Why a changed last head, which `users` patterns are computed from, is not that head (empty: it is)."""
    rest = relative_error(changed[:, :-users], true[:, :-users]) if users < true.shape[1] else 0.0
    if not rest < tolerance(true.dtype):
        return f"the pattern of other heads follows the last head of {kind} ({rest:.0%}): they are normed together"
    if relative_error(changed[:, -users:], true[:, -users:]) <= 4 * torch.finfo(true.dtype).eps:
        return f"changing the last head of {kind} does not change its pattern"
    return ""
