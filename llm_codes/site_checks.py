"""Does a site hold what its name says? Checked on the model itself, once: it fires, has its width, and adds up.

On a probe of a few tokens, per block:

    sequential   resid_mid = resid_pre + attn_out      resid_post = resid_mid + mlp_out
    parallel     resid_post = resid_pre + attn_out + mlp_out      (there is no place between)
    hidden       mlp_post = nonlinearity(mlp_pre) [* mlp_linear]
    blocks       resid_pre of a block = resid_post of the one before

The error of a sum is taken beside what is added, not beside the stream, which may be much larger. A site that fails its
identity, has another width, or never fires is not offered, with the reason. Multipliers and post-norms inside a branch,
routers in place of hidden units and hooks that an architecture leaves unused are found so, whatever the architecture is
called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel

PROBE_TOKENS = 12
EXACT, HALF = 1e-3, 5e-2
"""Largest relative error of an identity: in float32 and float64, and in half precision."""
ROUNDINGS = 16
"""How many rounding errors of the stream a sum may be off by."""
PARALLEL = "no such place in parallel blocks"
Place = tuple[str, int]
Reasons = dict[Place, str]


@dataclass(frozen=True)
class SiteChecks:
    """What came of the checks of one model.

    reasons: why a kind of site is not to be trusted in a layer, by (kind, layer). errors: the largest relative error of
    each identity that holds, over the layers. forms: `sequential`, `parallel`, or neither, as the layers have it.
    """

    reasons: Reasons = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    forms: frozenset[str] = frozenset()


def tolerance(dtype: torch.dtype) -> float:
    return EXACT if dtype in (torch.float32, torch.float64) else HALF


def relative_error(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|, over everything; the size of `found` where nothing is expected."""
    scale = float(expected.double().norm()) or 1.0
    return float((found.double() - expected.double()).norm()) / scale


def probe_tokens(rows: int, context: int) -> Tensor:
    """A few different tokens that every vocabulary has, int64 [1, position]."""
    return (torch.arange(1, 1 + min(PROBE_TOKENS, context)) % rows)[None]


def sum_error(before: Tensor, added: Tensor, after: Tensor) -> tuple[float, bool]:
    """How far `before + added` is from `after`, beside what is added in truth; and whether that is within rounding."""
    truth = after.double() - before.double()
    size = float(truth.norm()) or 1.0
    error = float((before.double() + added.double() - after.double()).norm()) / size
    rounding = ROUNDINGS * torch.finfo(after.dtype).eps * float(after.double().norm()) / size
    return error, error < tolerance(after.dtype) + rounding


def checks(model: HookedModel, hooks: Mapping[Place, str], widths: Mapping[str, int]) -> SiteChecks:
    """Every check of the module's head.

    hooks: the hook name of every kind and layer that the model lists. widths: what each kind's width must be.
    """
    seen: dict[str, Tensor] = {}
    tokens = probe_tokens(model.vocabulary_size, model.context)
    model.stream(tokens, list(dict.fromkeys(hooks.values())), seen.__setitem__)
    found, forms = _Findings(), set()
    before: Tensor | None = None
    for layer in range(model.n_layers):
        read = {kind: seen.get(hook) for (kind, number), hook in hooks.items() if number == layer}
        here = of_layer(read, widths, model.activation, before)
        found.add(here, layer)
        forms.add(here.form)
        before = read.get("resid_post")
    return SiteChecks(found.reasons, found.errors, frozenset(forms))


@dataclass
class LayerChecks:
    """The checks of one layer: reasons by kind, errors by identity, the form of the block."""

    reasons: dict[str, str] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    form: str = "neither"


@dataclass
class _Findings:
    reasons: Reasons = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)

    def add(self, here: LayerChecks, layer: int) -> None:
        self.reasons |= {(kind, layer): reason for kind, reason in here.reasons.items()}
        for name, error in here.errors.items():
            self.errors[name] = max(error, self.errors.get(name, 0.0))


def of_layer(
    read: Mapping[str, Any], widths: Mapping[str, int], activation: str = "", before: Tensor | None = None
) -> LayerChecks:
    """The checks on what was read in a layer, by kind (`None`: it never fired). before: the previous `resid_post`."""
    out = LayerChecks({kind: "it is listed and never fires" for kind, values in read.items() if values is None})
    here: dict[str, Tensor] = {kind: values for kind, values in read.items() if values is not None}
    for kind, values in here.items():
        if values.ndim != 3 or values.shape[-1] != widths[kind]:
            out.reasons[kind] = (
                f"what is read there has shape {list(values.shape)}, not [batch, position, {widths[kind]}]"
            )
        elif not bool(torch.isfinite(values).all()):
            out.reasons[kind] = "expected finite activations; got NaN or infinity: check the weights"
    sound = {kind: values for kind, values in here.items() if kind not in out.reasons}
    _residual(sound, out)
    _hidden(sound, activation, out)
    if before is not None and "resid_pre" in sound and sound["resid_pre"].shape == before.shape:
        error = relative_error(sound["resid_pre"], before)
        out.errors["blocks"] = error
        if error >= tolerance(before.dtype):
            out.reasons["resid_pre"] = f"it differs from resid_post of the block before by {error:.0%}"
    return out


def _residual(read: Mapping[str, Tensor], out: LayerChecks) -> None:
    """The stream adds up, in the sequential or in the parallel form."""
    pre, attention, middle, mlp, post = (
        read.get(kind) for kind in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
    )
    if pre is None or post is None:
        return
    between = middle is not None and relative_error(middle, pre) >= tolerance(pre.dtype)
    if attention is not None and mlp is not None:
        error, holds = sum_error(pre, attention + mlp, post)
        if holds:
            out.errors["residual"], out.form = error, "sequential" if between else "parallel"
    if out.form == "parallel":
        out.reasons["resid_mid"] = PARALLEL if middle is None else f"it equals resid_pre: {PARALLEL}"
        return
    if middle is not None and attention is not None:
        error, holds = sum_error(pre, attention, middle)
        if holds:
            out.errors["residual"] = max(error, out.errors.get("residual", 0.0))
        elif out.form == "sequential":
            out.reasons["resid_mid"] = f"it differs from resid_pre + attn_out by {error:.0%}"
        else:
            out.reasons["attn_out"] = f"resid_pre + attn_out differs from resid_mid by {error:.0%}"
    if middle is not None and mlp is not None and out.form != "sequential":
        error, holds = sum_error(middle, mlp, post)
        if not holds:
            out.reasons["mlp_out"] = f"resid_mid + mlp_out differs from resid_post by {error:.0%}"
    if middle is not None and attention is None and mlp is None:
        out.reasons |= {kind: "nothing is read here to check it on" for kind in ("resid_mid", "mlp_in") if kind in read}
    elif out.form != "sequential" and middle is not None and not between:
        out.reasons["resid_mid"] = "it equals resid_pre: not the stream after the attention"


def _hidden(read: Mapping[str, Tensor], activation: str, out: LayerChecks) -> None:
    """Hidden units are the nonlinearity of what is read before it, and not the output of the MLP once more."""
    before, linear, post = read.get("mlp_pre"), read.get("mlp_linear"), read.get("mlp_post")
    output = read.get("mlp_out")
    if post is not None and output is not None and post.shape == output.shape and torch.equal(post, output):
        out.reasons["mlp_post"] = "it equals mlp_out: the hidden units of this MLP are not within reach"
        post = None
    if before is not None and post is None:
        out.reasons["mlp_pre"] = "no hidden units are read here to check it on"
    function = nonlinearity(activation)
    if before is None or post is None or function is None:
        return
    made = function(before) * (1 if linear is None else linear)
    error = relative_error(post, made) if post.shape == made.shape else 1.0
    if error < tolerance(post.dtype):
        out.errors["hidden"] = error
        return
    times = "" if linear is None else " * mlp_linear"
    out.reasons["mlp_pre"] = f"{activation}(mlp_pre){times} differs from mlp_post by {error:.0%}"


def nonlinearity(name: str) -> Any:
    """transformers' function of that name; `None` for one it does not know (then hidden units are not checked)."""
    from transformers.activations import ACT2FN

    return ACT2FN[name] if name in ACT2FN else None
