"""What a claims file is run on: nothing that training made, nothing in order, and a truth that was planted.

A truth enters as weights, activations, text or labels and goes through the study of its room; results written by hand
do not count. A statement that has no such truth says why in `unplanted`, and must then never hold on one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.claims import COUNTED, Claim


@dataclass(frozen=True)
class Material:
    """Folders that rooms read from: an untrained model of two layers, thirty short texts, an empty one."""

    model: Path
    texts: Path
    empty: Path


Objects = Callable[[Material], Sequence[Claim]]
"""Runs the study small and judges it: the claims on every object of the kind."""


@dataclass(frozen=True)
class Row:
    """How one claims file is run.

    untrained: networks that nothing was trained into, beside their controls; shuffled: data without the order that the
    statements are about, in the network and in its controls; planted: objects of which each statement is true at least
    once. without: an object that cannot be made, with the reason (`untrained`, `shuffled`, `planted`). unplanted: words
    of statements for which no small truth is known, with the reason. pending: objects on which a statement holds that
    should not, with what would mend it (a strict xfail).
    """

    objects: Mapping[str, Objects]
    without: Mapping[str, str] = field(default_factory=dict)
    unplanted: Mapping[str, str] = field(default_factory=dict)
    pending: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {*self.objects, *self.without}
        if named != set(OBJECTS) or set(self.objects) & set(self.without):
            raise ValueError(f"expected each of {OBJECTS} as an object or with a reason; got {sorted(named)}")


OBJECTS = ("untrained", "shuffled", "planted")


def counted(claims: Sequence[Claim]) -> list[Claim]:
    """Statements of a source and predictions of ours."""
    return [claim for claim in claims if claim.kind in COUNTED]


def that_hold(claims: Sequence[Claim]) -> list[str]:
    """Counted statements that hold, with what they were judged on."""
    return [
        f"{claim.claim}: {claim.measured} {claim.interval} beside {dict(claim.controls or {})}"
        for claim in counted(claims)
        if claim.verdict == "holds"
    ]


def never_held(claims: Sequence[Claim]) -> list[str]:
    """Counted statements that hold on none of the objects."""
    held = {claim.claim for claim in counted(claims) if claim.verdict == "holds"}
    return sorted({claim.claim for claim in counted(claims)} - held)
