"""Activation patching: what the clean prompt has at one site, put into the corrupted prompt.

    restored = (m(patched) - m(corrupted)) / (m(clean) - m(corrupted)),      m = logit of target - logit of foil

0: no better than the corrupted prompt, 1: as the clean one; above 1 and below 0 are possible. Sites are the residual
stream, attention's and the MLP's output at one position, and one head's output at all of them. [Vig et al. 2020;
Meng et al. 2022, causal tracing; TransformerLens' `patching`, the oracle of the numbers]

The null puts the same site of *another* pair's clean prompt there: what any clean activation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llm_codes.lenses.patching.pairs import Pair
from llm_codes.lenses.patching.places import shared_end
from llm_codes.lenses.patching.swaps import Recorded, Swap
from llm_codes.models import Model
from llm_codes.sites import resolve_site

SITES = ("resid_pre", "attn_out", "mlp_out")
HEADS = "heads"


@dataclass(frozen=True)
class Grid:
    """Interventions as rows and columns of a table, for one pair; none where a place is none of the pair's.

    part: what is patched. up, across: names of rows and columns. swaps: [row][column].
    """

    part: str
    up: tuple[str, ...]
    across: tuple[str, ...]
    swaps: tuple[tuple[tuple[Swap, ...] | None, ...], ...]


def site_hooks(model: Model) -> list[str]:
    """Hook points of all sites that are patched."""
    return [resolve_site(model, kind, layer).hook for kind in (*SITES, "z") for layer in range(model.n_layers)]


def layer_names(model: Model) -> tuple[str, ...]:
    return tuple(f"layer {layer}" for layer in range(model.n_layers))


def site_grids(
    model: Model,
    source: Recorded,
    places: Sequence[str],
    positions: Sequence[int | None],
    from_positions: Sequence[int | None],
) -> list[Grid]:
    """Layers by places for each kind of site: the source's activation at its own position of the place."""
    out = []
    for kind in SITES:
        rows = []
        for layer in range(model.n_layers):
            hook = resolve_site(model, kind, layer).hook
            rows.append(
                tuple(
                    None
                    if to is None or start is None
                    else (Swap(hook, torch.tensor([to]), source.activations[hook][start][None]),)
                    for to, start in zip(positions, from_positions, strict=True)
                )
            )
        out.append(Grid(kind, layer_names(model), tuple(places), tuple(rows)))
    return out


def head_grid(model: Model, source: Recorded, length: int) -> Grid:
    """Layers by heads: a head's output at all positions, aligned from the end where the source is longer or shorter."""
    rows = []
    for layer in range(model.n_layers):
        hook = resolve_site(model, "z", layer).hook
        found = source.activations[hook]
        to, start = (torch.arange(length),) * 2 if len(found) == length else shared_end(length, len(found))
        columns = head_columns(model, layer)
        rows.append(tuple((Swap(hook, to, found[start][:, own], own),) for own in columns))
    names = tuple(f"head {head}" for head in range(max(map(len, rows))))
    return Grid(HEADS, layer_names(model), names, tuple(rows))


def head_columns(model: Model, layer: int) -> list[slice]:
    """The columns of each head, side by side."""
    width, one = resolve_site(model, "z", layer).width, resolve_site(model, "z.0", layer).width
    return [slice(start, start + one) for start in range(0, width, one)]


def logit_difference(logits: torch.Tensor, pair: Pair) -> torch.Tensor:
    """The metric, of logits [..., vocabulary]."""
    return logits[..., pair.target] - logits[..., pair.foil]
