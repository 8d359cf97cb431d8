"""Does a site hold what its name says? Checked on the model itself, once: it fires, has its width, and adds up.

On a probe of a few tokens, per block:

    sequential   resid_mid = resid_pre + attn_out      resid_post = resid_mid + mlp_out
    parallel     resid_post = resid_pre + attn_out + mlp_out      (there is no place between)

A site that fails its identity, has another width, or never fires is not offered, with the reason. Multipliers and
post-norms inside a branch, routers in place of hidden units and hooks that an architecture leaves unused are found so,
whatever the architecture is called.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from llm_codes.hooked import Model

PROBE_TOKENS = 12
EXACT, HALF = 1e-3, 5e-2
"""Largest relative error of an identity: in float32 and float64, and in half precision."""
Reasons = dict[tuple[str, int], str]
_known: weakref.WeakKeyDictionary[Model, Reasons] = weakref.WeakKeyDictionary()


def tolerance(dtype: torch.dtype) -> float:
    return EXACT if dtype in (torch.float32, torch.float64) else HALF


def relative_error(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|, over everything; the size of `found` where nothing is expected."""
    scale = float(expected.double().norm()) or 1.0
    return float((found.double() - expected.double()).norm()) / scale


def probe_tokens(rows: int, context: int) -> Tensor:
    """A few different tokens that every vocabulary has, int64 [1, position]."""
    return (torch.arange(1, 1 + min(PROBE_TOKENS, context)) % rows)[None]


def reasons_against(model: Model, hooks: Mapping[tuple[str, int], str], widths: Mapping[str, int]) -> Reasons:
    """Why a kind of site is not to be trusted in a layer, by (kind, layer); nothing where all is well.

    hooks: the hook name of every kind and layer that the model lists. widths: what each kind's width must be.
    """
    if model not in _known:
        seen: dict[str, Tensor] = {}
        tokens = probe_tokens(model.vocabulary_size, model.context)
        model.stream(tokens, list(dict.fromkeys(hooks.values())), seen.__setitem__)
        found: Reasons = {}
        for layer in range(model.n_layers):
            read = {kind: seen.get(hook) for (kind, number), hook in hooks.items() if number == layer}
            found |= {(kind, layer): reason for kind, reason in _of_layer(read, widths, tolerance(model.dtype)).items()}
        _known[model] = found
    return _known[model]


def _of_layer(read: Mapping[str, Any], widths: Mapping[str, int], allowed: float) -> dict[str, str]:
    out = {kind: "it is listed and never fires" for kind, values in read.items() if values is None}
    here: dict[str, Tensor] = {kind: values for kind, values in read.items() if values is not None}
    for kind, values in here.items():
        if values.ndim != 3 or values.shape[-1] != widths[kind]:
            out[kind] = f"what is read there has shape {list(values.shape)}, not [batch, position, {widths[kind]}]"
    sound = {kind: values for kind, values in here.items() if kind not in out}
    return out | _residual(sound, allowed) | _hidden(sound)


def _residual(read: Mapping[str, Tensor], allowed: float) -> dict[str, str]:
    """The stream adds up, in the sequential or in the parallel form."""
    pre, attention, middle, mlp, post = (
        read.get(kind) for kind in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
    )
    if pre is None or post is None:
        return {}
    out: dict[str, str] = {}
    if attention is not None and mlp is not None and relative_error(pre + attention + mlp, post) < allowed:
        error = 0.0 if middle is None else relative_error(pre + attention, middle)
        if middle is not None and relative_error(middle, pre) < allowed:
            out["resid_mid"] = "it equals resid_pre: no such place in parallel blocks"
        elif error >= allowed:
            out["resid_mid"] = f"it differs from resid_pre + attn_out by {error:.0%}"
        return out
    if middle is not None and attention is not None:
        error = relative_error(pre + attention, middle)
        if error >= allowed:
            out["attn_out"] = f"resid_pre + attn_out differs from resid_mid by {error:.0%}"
    if middle is not None and mlp is not None:
        error = relative_error(middle + mlp, post)
        if error >= allowed:
            out["mlp_out"] = f"resid_mid + mlp_out differs from resid_post by {error:.0%}"
    if out and middle is not None and relative_error(middle, pre) < allowed:
        out["resid_mid"] = "it equals resid_pre: not the stream after the attention"
    return out


def _hidden(read: Mapping[str, Tensor]) -> dict[str, str]:
    """Hidden units are not the output of the MLP once more."""
    post, output = read.get("mlp_post"), read.get("mlp_out")
    if post is not None and output is not None and post.shape == output.shape and torch.equal(post, output):
        return {"mlp_post": "it equals mlp_out: the hidden units of this MLP are not within reach"}
    return {}
