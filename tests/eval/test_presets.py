"""`--paper` stands for flags that exist, fits its verb or is refused in one line, and contradicts no flag."""

from __future__ import annotations

import pytest

from eval import commands
from eval.commands import parse
from eval.errors import UserError
from eval.flags import leaves
from eval.presets import PAPERS
from toy.configs.incidental import IncidentalConfig

WINGS = ("llm_codes", "vision_codes", "toy")
VERBS = [(wing, command) for wing in WINGS for command in commands.load_name(f"{wing}.__main__:COMMANDS")]
PRESETS = [
    (wing, command, paper)
    for wing, command in VERBS
    for paper in getattr(commands.load_name(command.config), "papers", {})
]


def configured(wing: str, *arguments: str):  # noqa: ANN201
    found = parse(wing, "", commands.load_name(f"{wing}.__main__:COMMANDS"), list(arguments))
    assert found is not None
    return found.config


def test_every_source_has_a_preset_somewhere() -> None:
    assert {paper for _, _, paper in PRESETS} == set(PAPERS)


@pytest.mark.parametrize(("wing", "command", "paper"), PRESETS, ids=lambda one: getattr(one, "verb", one))
def test_a_preset_is_flags_of_its_verb_and_says_what_was_scaled(wing: str, command, paper: str) -> None:
    config = commands.load_name(command.config)
    preset = config.papers[paper]
    assert set(preset.flags) <= dict(leaves(config)).keys() and len(preset.scaled.split()) > 5
    assert configured(wing, command.verb, "--paper", paper, "--out", "x") == configured(
        wing, command.verb, *(f"{flag}={value}" for flag, value in preset.flags.items()), "--out", "x"
    )


def test_the_sizes_of_the_post() -> None:
    found = configured("toy", "incidental", "--paper", "ip", "--out", "x", "--seeds=8")
    assert isinstance(found, IncidentalConfig)
    assert found.incidental.sizes[-1] == "256x4096" and len(found.incidental.rates) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("capacity --paper ip", r"expected a paper that `capacity` has figures of \(none\); got ip; drop --paper"),
        ("incidental --paper mk", r"`incidental` has figures of \(ip\); got mk"),
        ("incidental --paper pi", "unknown --paper 'pi': did you mean pl, ip"),
        ("incidental --paper ip --seeds 9", "--paper ip means --seeds 8; got --seeds 9; drop one of the two"),
        ("incidental --paper ip --set sizes=16x64", "--paper ip means --sizes 256x256.*; got --sizes 16x64"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused_in_one_line(arguments: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        configured("toy", *arguments.split(), "--out", "x")
