"""Do the heads of a model compute what their names say? Checked on the model itself, once, on a probe of a few tokens:

    z[query, head] = sum_key pattern[head, query, key] v[key, head's key-value head]

A layer where that does not hold, or where no pattern can be read, offers no sites of heads, with the reason.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eval.errors import UserError
from llm_codes.heads.views import MARK
from llm_codes.site_checks import probe_tokens, relative_error, tolerance

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel

KINDS = {
    "v": ("values of the heads, before the pattern mixes them", "attn.hook_v"),
    "z": ("what the heads read, before the output projection", "attn.hook_z"),
}
PATTERN = "attn.hook_pattern"


@dataclass(frozen=True)
class HeadChecks:
    """Of one model: heads by (kind, layer) with their width; reasons by layer; the largest error of the identity."""

    shapes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    error: float | None = None


@dataclass(frozen=True)
class HeadSite:
    """Where heads are read: the name to hook, the width, in words."""

    hook: str
    width: int
    meaning: str


_known: weakref.WeakKeyDictionary[HookedModel, HeadChecks] = weakref.WeakKeyDictionary()


def is_head_kind(kind: str) -> bool:
    """Whether `kind` is `v` or `z`, or one head of them: `z.3`."""
    base, dot, head = kind.partition(".")
    return base in KINDS and (not dot or head.isdigit())


def head_site(model: HookedModel, kind: str, layer: int) -> HeadSite:
    """The heads of a layer side by side (`z`), or one of them (`z.3`).

    Raises:
        UserError: heads that do not verify, with the reason; a head that is not there.
    """
    base, _, number = kind.partition(".")
    found = head_checks(model)
    if layer in found.reasons:
        raise UserError(f"{model.name} has no {kind} in layer {layer}: {found.reasons[layer]}; see `sites`")
    heads, width = found.shapes[(base, layer)]
    meaning, suffix = KINDS[base]
    hook = f"{model.canonical_hooks[f'blocks.{layer}.{suffix}']}{MARK}{number}"
    if not number:
        return HeadSite(hook, heads * width, f"{meaning}: {heads} heads side by side")
    if int(number) >= heads:
        raise UserError(f"expected a head within 0..{heads - 1} of {base} in {model.name}, got {number}")
    return HeadSite(hook, width, f"{meaning}: head {number}")


def head_checks(model: HookedModel) -> HeadChecks:
    """The checks of every layer; measured once per model."""
    if model not in _known:
        suffixes = [*(suffix for _, suffix in KINDS.values()), PATTERN]
        names = [f"blocks.{layer}.{suffix}" for layer in range(model.n_layers) for suffix in suffixes]
        seen: dict[str, Tensor] = {}
        tokens = probe_tokens(model.vocabulary_size, model.context)
        model.stream(tokens, [name for name in names if name in model.hook_names], seen.__setitem__)
        found = HeadChecks()
        errors = []
        for layer in range(model.n_layers):
            v, z, pattern = (seen.get(f"blocks.{layer}.{suffix}") for suffix in suffixes)
            reason, error = _of_layer(v, z, pattern)
            if reason or v is None or z is None:
                found.reasons[layer] = reason
                continue
            errors.append(error)
            for kind, values in (("v", v), ("z", z)):
                found.shapes[(kind, layer)] = (int(values.shape[2]), int(values.shape[3]))
        _known[model] = HeadChecks(found.shapes, found.reasons, max(errors, default=None))
    return _known[model]


def _of_layer(v: Tensor | None, z: Tensor | None, pattern: Tensor | None) -> tuple[str, float]:
    """Why the heads of a layer are not offered (empty: they are), and the error of the identity."""
    if v is None or z is None:
        return "no attention heads are read here", 0.0
    if v.ndim != 4 or z.ndim != 4:
        return f"what is read there has shape {list(z.shape)}, not [batch, position, head, width]", 0.0
    if pattern is None:
        return "no attention pattern is read here to check them on", 0.0
    if pattern.shape[1] != z.shape[2] or z.shape[2] % v.shape[2]:
        return f"{z.shape[2]} heads of {v.shape[2]} values and {pattern.shape[1]} patterns do not fit", 0.0
    values = v.double().repeat_interleave(z.shape[2] // v.shape[2], dim=2)
    error = relative_error(z, torch.einsum("bhqk,bkhd->bqhd", pattern.double(), values))
    if error >= tolerance(z.dtype):
        return f"the pattern times v differs from z by {error:.0%}", error
    return "", error
