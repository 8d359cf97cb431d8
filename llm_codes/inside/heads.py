"""Do the heads of a model compute what their names say? Checked on the model itself, once, on a probe of a few tokens:

    z[query, head] = sum_key pattern[head, query, key] v[key, head's key-value head]

A layer where that does not hold, or where no pattern can be read, offers no sites of heads, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llm_codes.content_hashes import once_per_weights
from llm_codes.inside.findings import InsideChecks
from llm_codes.site_checks import probe_tokens, relative_error, tolerance

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel

SUFFIXES = {"v": "attn.hook_v", "z": "attn.hook_z", "pattern": "attn.hook_pattern"}


@once_per_weights
def head_checks(model: HookedModel) -> InsideChecks:
    """The checks of every layer: `v`, `z` and `pattern` stand or fall together."""
    names = [f"blocks.{layer}.{suffix}" for layer in range(model.n_layers) for suffix in SUFFIXES.values()]
    seen: dict[str, Tensor] = {}
    tokens = probe_tokens(model.vocabulary_size, model.context)
    model.stream(tokens, [name for name in names if name in model.hook_names], seen.__setitem__)
    found, errors = InsideChecks(), []
    for layer in range(model.n_layers):
        v, z, pattern = (seen.get(f"blocks.{layer}.{suffix}") for suffix in SUFFIXES.values())
        reason, error = _of_layer(v, z, pattern)
        if reason or v is None or z is None:
            found.reasons.update({(kind, layer): reason for kind in SUFFIXES})
            continue
        errors.append(error)
        shapes = {"v": tuple(v.shape[2:]), "z": tuple(z.shape[2:]), "pattern": (z.shape[2], model.context)}
        found.shapes.update({(kind, layer): (int(items), int(width)) for kind, (items, width) in shapes.items()})
    return InsideChecks(found.shapes, found.reasons, max(errors, default=None))


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
    if not error < tolerance(z.dtype):
        return f"the pattern times v differs from z by {error:.0%}", error
    return "", error
