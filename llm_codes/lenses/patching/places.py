"""Which positions of different prompts belong together? Their number where all are equally long, else their part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llm_codes.lenses.patching.pairs import Pair

PARTS = ("changed token", "token after it", "last but two", "last but one", "last token")
LONGEST = 30  # tokens of equally long prompts that are told apart by number


def places_of(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Names of the places, in the order of the prompts."""
    lengths = {len(pair.clean) for pair in pairs}
    if len(lengths) == 1 and (length := max(lengths)) <= LONGEST:
        return tuple(f"position {number}" for number in range(length))
    return PARTS


def positions_of(pair: Pair, places: Sequence[str]) -> list[int | None]:
    """The position of a pair at every place; none where a place before it in rank has it: the changed token (the first
    of several) and the last one come before their neighbours."""
    if tuple(places) != PARTS:
        return list(range(len(places)))
    last, changed = len(pair.clean) - 1, pair.changed[0]
    wanted = {"changed token": changed, "last token": last, "token after it": changed + 1}
    wanted |= {"last but one": last - 1, "last but two": last - 2}
    taken: dict[int, str] = {}
    for name, position in wanted.items():
        if 0 <= position <= last:
            taken.setdefault(position, name)
    at = {name: position for position, name in taken.items()}
    return [at.get(name) for name in places]


def shared_end(own: int, other: int) -> tuple[Tensor, Tensor]:
    """Positions of two prompts of these lengths that are equally far from the end; the first is left out."""
    count = min(own, other) - 1
    return torch.arange(own - count, own), torch.arange(other - count, other)
