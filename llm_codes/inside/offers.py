"""Sites inside the branches of a block: which kinds there are, and where a model reads them once they are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.errors import UserError
from llm_codes.inside import heads, queries
from llm_codes.inside.findings import Check
from llm_codes.inside.routers import n_experts, router_checks
from llm_codes.inside.states import state_checks, state_hook
from llm_codes.inside.views import EXPERTS, MARK, ROUTERS

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel


@dataclass(frozen=True)
class Kind:
    """A kind of site with many items per token. one: what an item is called; `None` where there is one alone."""

    meaning: str
    one: str | None
    check: Check
    suffixes: tuple[str, ...] = ()


KINDS = {
    "q": Kind("queries of the heads, before norm and rotation", "head", queries.query_checks, ("attn.hook_q",)),
    "k": Kind("keys of the heads, before norm and rotation", "head", queries.query_checks, ("attn.hook_k",)),
    "v": Kind("values of the heads, before the pattern mixes them", "head", heads.head_checks, ("attn.hook_v",)),
    "pattern": Kind(
        "share of each key's position in what a query reads, 0 up to the context",
        "head",
        heads.head_checks,
        ("attn.hook_pattern",),
    ),
    "z": Kind("what the heads read, before the output projection", "head", heads.head_checks, ("attn.hook_z",)),
    "router": Kind("logit of each expert, before the best are chosen; read only", "expert", router_checks, ROUTERS),
    "experts": Kind("what the chosen experts add, without the shared one", None, router_checks, (EXPERTS,)),
    "ssm_state": Kind("recurrent state after the token (Mamba 2: a channel is a head)", "channel", state_checks),
}


@dataclass(frozen=True)
class InsideSite:
    """Where items are read: the name to hook, the width, in words."""

    hook: str
    width: int
    meaning: str


def is_inside_kind(kind: str) -> bool:
    """Whether `kind` is one of `KINDS`, or one item of it: `z.3`."""
    base, dot, number = kind.partition(".")
    return base in KINDS and (not dot or number.isdigit())


def inside_site(model: HookedModel, kind: str, layer: int) -> InsideSite:
    """The items of a layer side by side (`z`), or one of them (`z.3`).

    Raises:
        UserError: what does not verify, with the reason; an item that is not there.
    """
    base, _, number = kind.partition(".")
    described = KINDS[base]
    found = described.check(model)
    if (base, layer) in found.reasons:
        raise UserError(f"{model.name} has no {kind} in layer {layer}: {found.reasons[base, layer]}; see `sites`")
    items, width = found.shapes[base, layer]
    hook = f"{_hook(model, described, layer)}{MARK}{number}"
    if number and described.one is None:
        raise UserError(f"expected {base} without a number in {model.name}, got {number}")
    if number and int(number) >= items:
        raise UserError(f"expected a {described.one} within 0..{items - 1} of {base} in {model.name}, got {number}")
    if number:
        return InsideSite(hook, width, f"{described.meaning}: {described.one} {number}")
    all_of_it = "" if described.one is None else f": {items} {described.one}s side by side"
    return InsideSite(hook, items * width, f"{described.meaning}{all_of_it}")


def _hook(model: HookedModel, kind: Kind, layer: int) -> str:
    names = [f"blocks.{layer}.{suffix}" for suffix in kind.suffixes] or [state_hook(model, layer) or ""]
    return next(model.canonical_hooks[name] for name in names if name in model.canonical_hooks)


def listed_kinds(model: HookedModel) -> list[str]:
    """The kinds worth a line for this model: of experts and states only where it has them."""
    without = set() if n_experts(model) else {"router", "experts"}
    if not any(state_hook(model, layer) for layer in range(model.n_layers)):
        without.add("ssm_state")
    return [kind for kind in KINDS if kind not in without]


def not_offered_inside(model: HookedModel, kind: str, layer: int) -> str | None:
    """Why a kind is not offered in a layer; `None` where it is."""
    return KINDS[kind].check(model).reasons.get((kind, layer))
