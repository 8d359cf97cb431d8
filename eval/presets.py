"""`--paper ip`: the sizes and settings of a source, as one flag of the verb that shows its figures.

A configuration lists its presets, `papers: ClassVar = {"ip": Preset({"sizes": "256x256"}, "what was scaled down")}`;
keys are the names of flags. A preset stands for its flags; a flag given beside it must say the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.errors import UserError, known_name
from eval.progress import say

PAPERS = {
    "mk": "Marshall & Kirchner 2023",
    "ip": "Lecomte et al. 2023",
    "pl": "Black et al. 2022",
    "fc": "the feature-connector post",
}
"""By the key of the bibliography, in small letters."""


@dataclass(frozen=True)
class Preset:
    """Values by flag (`weight_decay` or `weight-decay`), as they would be typed; scaled: what differs from the source,
    and what it costs, in one sentence."""

    values: Mapping[str, str]
    scaled: str

    @property
    def flags(self) -> dict[str, str]:
        return {f"--{name.replace('_', '-')}": value for name, value in self.values.items()}


def with_preset(arguments: Sequence[str], config: type, verb: str) -> list[str]:
    """The arguments of a verb with `--paper` replaced by the flags it stands for; says what was scaled down.

    Raises:
        UserError: no such paper, a paper that this verb has no figure of, a flag that says something else.
    """
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--paper")
    found, rest = reader.parse_known_args(list(arguments))
    if found.paper is None:
        return rest
    known_name(found.paper, PAPERS, "--paper")
    presets: Mapping[str, Preset] = getattr(config, "papers", {})
    if found.paper not in presets:
        there = ", ".join(presets) or "none"
        raise UserError(f"expected a paper that `{verb}` has figures of ({there}); got {found.paper}; drop --paper")
    preset = presets[found.paper]
    for flag, value in preset.flags.items():
        given = _given(rest, flag)
        if given is not None and given != value:
            raise UserError(f"--paper {found.paper} means {flag} {value}; got {flag} {given}; drop one of the two")
    say(f"--paper {found.paper} ({PAPERS[found.paper]}): {preset.scaled}")
    return [*(f"{flag}={value}" for flag, value in preset.flags.items()), *rest]


def _given(arguments: Sequence[str], flag: str) -> str | None:
    """The last value of a flag on a command line, `None` where it is not there."""
    value = None
    for place, word in enumerate(arguments):
        if word.startswith(f"{flag}="):
            value = word.partition("=")[2]
        elif word == flag:
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
    return value
