"""Path patching: of the clean prompt only one path is corrupted, from what one node writes to what another reads.

    receiver reads    clean stream + (sender's write in the corrupted run - its write in the clean run)
    then              the receiver computes, and everything above responds

Everything else between sender and receiver is held at the clean run, so that what arrives is the direct path along the
residual stream, and no forward pass is needed to know it. A head as receiver reads queries, keys and values of the
changed stream while the other heads of its layer keep their clean output. [Wang et al. 2023, IOI, section 3;
Goldowsky-Dill et al. 2023; theirs let MLPs between respond, here nothing does]

    carried = 1 - (m - m(corrupted)) / (m(clean) - m(corrupted))

0: corrupting this path changes nothing; 1: it does as much as corrupting the prompt. The null takes the difference of
another pair's two runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.patching.activations import Grid, head_columns
from llm_codes.lenses.patching.places import shared_end
from llm_codes.lenses.patching.swaps import Recorded, Swap
from llm_codes.models import Model
from llm_codes.sites import resolve_site

PATHS = "paths"
TOKENS, LOGITS = "tokens", "logits"
FINAL = "ln_final.hook_in"
AGREEMENT = 2e-3


@dataclass(frozen=True)
class PathNode:
    """A sender or receiver. order: where it stands in the computation; head: none for all heads together."""

    name: str
    order: int
    layer: int
    kind: str
    head: int | None = None


def path_nodes(model: Model, heads: bool) -> list[PathNode]:
    """Tokens, attention (or its heads) and MLP of every layer, logits, in the order of the computation."""
    out = [PathNode(TOKENS, 0, -1, TOKENS)]
    for layer in range(model.n_layers):
        if heads:
            count = len(head_columns(model, layer))
            out += [PathNode(f"head {layer}.{head}", 2 * layer + 1, layer, "head", head) for head in range(count)]
        else:
            out.append(PathNode(f"attention {layer}", 2 * layer + 1, layer, "attention"))
        out.append(PathNode(f"MLP {layer}", 2 * layer + 2, layer, "MLP"))
    return [*out, PathNode(LOGITS, 2 * model.n_layers + 1, model.n_layers, LOGITS)]


def path_hooks(model: Model) -> list[str]:
    """Hook points that paths need: what norms read, what branches write.

    Raises:
        UserError: blocks without two norms before their branches.
    """
    names = [_reads(node) for node in path_nodes(model, heads=False)[1:]]
    for name in names:
        if name not in model.hook_names:
            raise UserError(
                f"expected blocks with a norm before attention and one before the MLP; {model.name} has no {name}; "
                "leave paths out with --paths none"
            )
    names += [
        resolve_site(model, kind, layer).hook for kind in ("attn_out", "mlp_out", "z") for layer in _layers(model)
    ]
    return [*names, resolve_site(model, "resid_pre", 0).hook]


def check_stream(model: Model, run: Recorded) -> None:
    """Whether the stream is the sum of what is written to it, one branch after the other.

    Raises:
        UserError: it is not, as where attention and MLP stand side by side.
    """
    stream = run.activations[resolve_site(model, "resid_pre", 0).hook]
    for layer in _layers(model):
        for kind, read in (("attn_out", f"blocks.{layer}.ln2.hook_in"), ("mlp_out", _after(model, layer))):
            stream = stream + run.activations[resolve_site(model, kind, layer).hook]
            theirs = run.activations[read]
            error = float((stream - theirs).norm() / theirs.norm().clamp(min=1e-30))
            if not error <= AGREEMENT:
                raise UserError(
                    f"expected blocks that add attention, then the MLP, to one stream; {read} of {model.name} differs "
                    f"from the sum by {error:.2g}; leave paths out with --paths none"
                )


def check_heads(model: Model, clean: Recorded, corrupted: Recorded) -> None:
    """Whether what heads write adds up to what attention writes.

    Raises:
        UserError: it does not, as where attention's output is normed.
    """
    for node in path_nodes(model, heads=False):
        if node.kind != "attention":
            continue
        whole = write_changes(model, clean, corrupted, node)
        heads = [PathNode("", node.order, node.layer, "head", head) for head in range(len(_output(model, node.layer)))]
        parts = torch.stack([write_changes(model, clean, corrupted, head) for head in heads]).sum(0)
        error = float((parts - whole).norm() / whole.norm().clamp(min=1e-30)) if bool(whole.any()) else 0.0
        if not error <= AGREEMENT:
            raise UserError(
                f"expected heads that add up to attention in layer {node.layer} of {model.name}; they differ by "
                f"{error:.2g}; take --paths branches"
            )


def write_changes(
    model: Model, clean: Recorded, corrupted: Recorded, node: PathNode
) -> Float[Tensor, "position width"]:
    """What a sender writes in the corrupted run, less what it writes in the clean one."""

    def change(hook: str) -> Tensor:
        return corrupted.activations[hook] - clean.activations[hook]

    if node.kind == TOKENS:
        return change(resolve_site(model, "resid_pre", 0).hook)
    if node.kind != "head":
        return change(resolve_site(model, "mlp_out" if node.kind == "MLP" else "attn_out", node.layer).hook)
    assert node.head is not None
    columns = head_columns(model, node.layer)[node.head]
    return change(resolve_site(model, "z", node.layer).hook)[:, columns] @ _output(model, node.layer)[node.head]


def path_grid(model: Model, clean: Recorded, changes: dict[str, Tensor], heads: bool) -> Grid:
    """Senders by receivers; none where the receiver does not come after the sender.

    changes: what each sender's write changes by, [position, width]; of another length, they are aligned from the end.
    """
    nodes = path_nodes(model, heads)
    senders, receivers = nodes[:-1], nodes[1:]
    rows = tuple(
        tuple(
            _path(model, clean, changes[sender.name], receiver) if receiver.order > sender.order else None
            for receiver in receivers
        )
        for sender in senders
    )
    return Grid(PATHS, tuple(node.name for node in senders), tuple(node.name for node in receivers), rows)


def _path(model: Model, clean: Recorded, change: Tensor, receiver: PathNode) -> tuple[Swap, ...]:
    hook = _reads(receiver)
    own = clean.activations[hook]
    to, start = (torch.arange(len(own)),) * 2 if len(own) == len(change) else shared_end(len(own), len(change))
    swaps = [Swap(hook, to, own[to] + change[start])]
    if receiver.head is not None:
        z = resolve_site(model, "z", receiver.layer).hook
        everywhere = torch.arange(len(own))
        for head, columns in enumerate(head_columns(model, receiver.layer)):
            if head != receiver.head:
                swaps.append(Swap(z, everywhere, clean.activations[z][:, columns], columns))
    return tuple(swaps)


def _output(model: Model, layer: int) -> Float[Tensor, "head d_head width"]:
    attention: Any = model.bridge.blocks[layer].attn
    return attention.W_O.detach().to(model.dtype)


def _reads(node: PathNode) -> str:
    if node.kind == LOGITS:
        return FINAL
    return f"blocks.{node.layer}.{'ln2' if node.kind == 'MLP' else 'ln1'}.hook_in"


def _after(model: Model, layer: int) -> str:
    return FINAL if layer + 1 == model.n_layers else f"blocks.{layer + 1}.ln1.hook_in"


def _layers(model: Model) -> range:
    return range(model.n_layers)
