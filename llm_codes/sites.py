"""Where activations are read: short names for the places of a block, resolved to this model's own hook names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.errors import UserError, nearest
from eval.results import Result, result
from llm_codes.content_hashes import once_per_weights
from llm_codes.inside.offers import KINDS as INSIDE_KINDS
from llm_codes.inside.offers import inside_site, is_inside_kind, listed_kinds, not_offered_inside
from llm_codes.site_checks import SiteChecks, checks

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel


# kind: (meaning, the model's attribute for its width, hook names by preference: TransformerBridge, HookedTransformer).
# What a branch adds is asked for by the name that every norm layout keeps: behind it lies the post-norm, where one is.
KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "resid_pre": ("residual stream entering the block", "d_model", ("hook_in", "hook_resid_pre")),
    "attn_out": ("attention output, before it is added", "d_model", ("hook_attn_out", "attn.hook_out")),
    "resid_mid": ("residual stream between attention and MLP", "d_model", ("hook_resid_mid", "ln2.hook_in")),
    "mlp_in": ("what enters the MLP, after its norm", "d_model", ("mlp.hook_in", "ln2.hook_normalized")),
    "mlp_pre": ("MLP hidden units before the nonlinearity", "d_mlp", ("mlp.in.hook_out", "mlp.hook_pre")),
    "mlp_post": ("MLP hidden units after the nonlinearity (and gate)", "d_mlp", ("mlp.out.hook_in", "mlp.hook_post")),
    "mlp_out": ("MLP output, before it is added", "d_model", ("hook_mlp_out", "mlp.hook_out")),
    "resid_post": ("residual stream leaving the block", "d_model", ("hook_out", "hook_resid_post")),
}
GATED_KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mlp_pre": ("gate pre-activations, before the nonlinearity", "d_mlp", ("mlp.gate.hook_out", "mlp.hook_pre")),
    "mlp_linear": ("the linear branch the gate multiplies", "d_mlp", ("mlp.in.hook_out", "mlp.hook_pre_linear")),
}


@dataclass(frozen=True)
class Site:
    """One place in a model.

    hook: canonical hook name, e.g. `blocks.3.mlp.hook_out`. kind: short name, e.g. `mlp_out`.
    layer: block number (-1 outside the blocks). width: size of the last axis. meaning: in words.
    """

    hook: str
    kind: str
    layer: int
    width: int
    meaning: str

    @property
    def name(self) -> str:
        """Short and unique within a model: `mlp_out@3`."""
        return f"{self.kind}@{self.layer}" if self.layer >= 0 else self.kind


def kinds(model: HookedModel) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """The kinds of site this model's blocks have, in the order of the computation."""
    table = dict(KINDS)
    if model.is_gated:
        table.update(GATED_KINDS)
    order = [
        "resid_pre",
        "attn_out",
        "resid_mid",
        "mlp_in",
        "mlp_pre",
        "mlp_linear",
        "mlp_post",
        "mlp_out",
        "resid_post",
    ]
    return {kind: table[kind] for kind in order if kind in table}


def parse_layers(text: str, n_layers: int) -> list[int]:
    """Layers of a specification: `:` all, `4:6` layers 4 and 5, `4:` from 4 on, `0,3,-1` a list."""
    out: list[int] = []
    try:
        for part in text.split(","):
            if ":" in part:
                start, stop = (int(end) if end.strip() else None for end in part.split(":"))
                out.extend(range(n_layers)[start:stop])
            elif part.strip():
                out.append(int(part))
    except ValueError as error:
        raise UserError(f"expected layers like `4:6`, `0,3` or `:`, got {text!r}") from error
    resolved = [layer + n_layers if layer < 0 else layer for layer in out]
    wrong = [layer for layer in resolved if not 0 <= layer < n_layers]
    if wrong or not resolved:
        raise UserError(f"expected layers within 0..{n_layers - 1}, got {text!r}")
    return sorted(set(resolved))


def resolve_site(model: HookedModel, kind: str, layer: int | None = None) -> Site:
    """The site of a short name and a layer (`resolve_site(m, "mlp_out", 2)` or `"mlp_out@2"`), or of a hook name.

    `q`, `k`, `v`, `pattern`, `z` are all heads of a layer side by side, `z.3@2` is head 3 of layer 2; `router`,
    `experts` and `ssm_state` are where a model has them (`llm_codes.inside.offers`).

    Raises `UserError` with the nearest names for a typo, and where the model lacks that place.
    """
    if "@" in kind:
        kind, _, number = kind.partition("@")
        layer = parse_layers(number, model.n_layers)[0]
    if kind in model.hook_names and kind not in kinds(model):
        return _site_of_hook(model, kind)
    table = kinds(model)
    if kind not in table and not is_inside_kind(kind):
        raise UserError(f"unknown site {kind!r}: {nearest(kind, [*table, *INSIDE_KINDS, *model.hook_names])}")
    if layer is None:
        raise UserError(f"site {kind!r} needs a layer in 0..{model.n_layers - 1}; write {kind}@3 or pass layers")
    (layer,) = parse_layers(str(layer), model.n_layers)
    if is_inside_kind(kind):
        inside = inside_site(model, kind, layer)
        return Site(inside.hook, kind, layer, inside.width, inside.meaning)
    meaning, width, suffixes = table[kind]
    reason = not_offered(model).get((kind, layer))
    if reason:
        raise UserError(f"{model.name} has no {kind} in layer {layer}: {reason}; see `sites`")
    hook = _hook_of_kind(model, suffixes, layer)
    if hook is None:
        raise UserError(f"{model.name} has no {kind} in layer {layer} (looked for {', '.join(suffixes)}); see `sites`")
    return Site(hook, kind, layer, int(getattr(model, width)), meaning)


def not_offered(model: HookedModel) -> dict[tuple[str, int], str]:
    """Sites that the model lists and that do not hold what their name says, by (kind, layer), with the reason."""
    return site_checks(model).reasons


@once_per_weights
def site_checks(model: HookedModel) -> SiteChecks:
    """What came of the checks of every kind in every layer (`llm_codes.site_checks`), once per model: again when its
    weights were written to."""
    table = kinds(model)
    named = {
        (kind, layer): _hook_of_kind(model, suffixes, layer)
        for kind, (_, _, suffixes) in table.items()
        for layer in range(model.n_layers)
    }
    hooks = {place: hook for place, hook in named.items() if hook is not None}
    return checks(model, hooks, {kind: int(getattr(model, width)) for kind, (_, width, _) in table.items()})


def _hook_of_kind(model: HookedModel, suffixes: Sequence[str], layer: int) -> str | None:
    """The canonical hook name of a kind in a layer, `None` where the model has none."""
    names = (f"blocks.{layer}.{suffix}" for suffix in suffixes)
    return next((model.canonical_hooks[name] for name in names if name in model.canonical_hooks), None)


def layer_of_hook(hook: str) -> int:
    """The block that a hook's name tells (`blocks.3.mlp.hook_out`), -1 where it tells none."""
    parts = hook.split(".")
    return int(parts[1]) if len(parts) > 2 and parts[0] == "blocks" and parts[1].isdigit() else -1


def _site_of_hook(model: HookedModel, hook: str) -> Site:
    """A site for a hook name; one that reaches a short kind's hook point gets it, any other is probed for its width."""
    layer = layer_of_hook(hook)
    if layer >= 0:
        for kind, (_, _, suffixes) in kinds(model).items():
            same = _hook_of_kind(model, suffixes, layer) == model.canonical_hooks[hook]
            if same and (kind, layer) not in not_offered(model):
                return resolve_site(model, kind, layer)
    import torch

    try:
        shape = tuple(model.activations(torch.zeros(1, 2, dtype=torch.long), [hook])[hook].shape)
    except (ValueError, KeyError) as error:  # a hook point that the bridge lists and, as it is set, never fires
        line = " ".join(str(error).split())
        raise UserError(f"expected a hook that {model.name} fires; got {hook!r} ({line}); see `sites`") from error
    if len(shape) != 3:
        raise UserError(
            f"expected (batch, position, width) activations at {hook}, got {len(shape)} axes; choose another site"
        )
    return Site(hook, hook, layer, shape[-1], "hook named by the user")


def resolve_sites(
    model: HookedModel, names: str | Sequence[str], layers: str | int | Sequence[int] | None = None
) -> list[Site]:
    """Every named kind at every layer (`layers=None`: all); `kind@layer` and hook names stand for themselves.

    One name and one layer may be given by themselves: `resolve_sites(model, "resid_post", 2)`.
    """
    names = [names] if isinstance(names, str) else names
    wanted = ":" if layers is None else layers if isinstance(layers, str) else _words(layers)
    numbers = parse_layers(wanted, model.n_layers)
    out: list[Site] = []
    for name in names:
        if "@" in name or (name in model.hook_names and name not in kinds(model)):
            out.append(resolve_site(model, name))
        else:
            out.extend(resolve_site(model, name, layer) for layer in numbers)
    return list(dict.fromkeys(out))


def _words(layers: int | Sequence[int]) -> str:
    return ",".join(map(str, [layers] if isinstance(layers, int) else layers))


@result
class ListedSite(Result):
    """One line of the `sites` command; without a hook where the place is not offered, and `meaning` says why."""

    name: str
    hook: str | None
    width: int | None
    meaning: str


def list_sites(model: HookedModel) -> list[ListedSite]:
    """Rows for the `sites` command: every kind in every layer with its hook; what is not offered with the reason."""
    reasons = not_offered(model)
    rows = []
    for kind, (meaning, width, suffixes) in kinds(model).items():
        for layer in range(model.n_layers):
            hook, reason = _hook_of_kind(model, suffixes, layer), reasons.get((kind, layer))
            if hook is None or reason:
                found = (None, None, f"not offered: {reason or 'no such hook'}")
            else:
                found = (hook, int(getattr(model, width)), meaning)
            rows.append(ListedSite(f"{kind}@{layer}", *found))
    return rows


def list_inside_sites(model: HookedModel) -> list[ListedSite]:
    """Rows for the `sites` command: heads, routers and states of every layer, or why they are not offered."""
    rows = []
    for kind in listed_kinds(model):
        for layer in range(model.n_layers):
            reason = not_offered_inside(model, kind, layer)
            if reason is not None:
                rows.append(ListedSite(f"{kind}@{layer}", None, None, f"not offered: {reason}"))
            else:
                inside = inside_site(model, kind, layer)
                rows.append(ListedSite(f"{kind}@{layer}", inside.hook, inside.width, inside.meaning))
    return rows
