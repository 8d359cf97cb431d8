"""Several processes: verbs that share end every time, with the numbers of one; other verbs refuse at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from eval import commands
from eval.errors import UserError
from eval.processes import refuse_sharing
from tests.killed import left_by
from tests.several import verb

SHARING = {
    *(("llm_codes", verb) for verb in ("spectra", "trajectories", "sae replacement")),
    *(("llm_codes", f"circuit {verb}") for verb in ("test", "weights", "curve", "patch")),
    ("vision_codes", "train"),
}
TRIES = int(os.environ.get("TORCHRUN_TRIES", "1"))
PAIRS = [("the cat sat on the", "the dog sat on the", " mat", " cat"), ("the dog ran", "the cat ran", " the", " cat")]
SMALL = {
    "circuit test": "--tokens 600 --context 12 --prompt-count 3 --sources 2 --per-source 2 --max-features 60",
    "circuit weights": "--fit-tokens 2000 --tokens 2000 --context 32 --windows-tested 3 --targets 12",
    "sae replacement": "--tokens 400 --fit-tokens 400 --context 16",
    "circuit curve": "--per-kind 1 --tokens 1500 --context 14 --steps 2 --graph-features 100 --probability 0.05",
}
"""Of the embedded model and its own transcoders, as small as the verb allows."""


def same_in_two(arguments: list[str], folder: Path, number: int = 0) -> None:
    """Two processes on one run folder end with what one process of as many threads ends with, to 1e-6."""
    arguments = [*arguments, "--threads", "1"]
    one, two = folder / "one", folder / f"two-{number}"
    if not one.exists():
        ended = verb("llm_codes", arguments, one, processes=1)
        assert ended.statuses == (0,), ended.said
    ended = verb("llm_codes", arguments, two)
    assert ended.statuses == (0, 0), ended.said
    alone, shared = left_by(one)["results"], left_by(two)["results"]
    assert numbers(shared) == pytest.approx(numbers(alone), rel=1e-6, abs=1e-6)
    assert words(shared) == words(alone)
    assert json.loads((two / "results.json").read_text())["provenance"]["processes"] == 2


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves(value[key])]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


def numbers(results: Any) -> list[float]:
    return [leaf for leaf in leaves(results) if isinstance(leaf, (int, float)) and not isinstance(leaf, bool)]


def words(results: Any) -> list[Any]:
    return [leaf for leaf in leaves(results) if not isinstance(leaf, (int, float)) or isinstance(leaf, bool)]


@pytest.mark.timeout(600 * TRIES)
def test_spectra_with_its_control_ends_every_time(tmp_path: Path, tiny_model_folder: Path, text_folder: Path) -> None:
    read = f"--model {tiny_model_folder} --corpus {text_folder} --tokens 2000 --context 64 --sites resid_post"
    for number in range(TRIES):
        same_in_two(f"spectra {read} --layers 1".split(), tmp_path, number)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_pairs_are_shared_out(tmp_path: Path, tiny_model_folder: Path) -> None:
    both = [*PAIRS, *((corrupted, clean, *ends) for clean, corrupted, *ends in PAIRS)]
    rows = [dict(zip(("clean", "corrupted", "target", "foil"), pair, strict=True)) for pair in both]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    read = f"--model {tiny_model_folder} --pairs {path} --paths heads --least-drop 1e-9"
    same_in_two(["circuit", "patch", *read.split()], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SMALL)
def test_two_processes_end_with_the_numbers_of_one(name: str, tmp_path: Path) -> None:
    same_in_two([*name.split(), *SMALL[name].split()], tmp_path)


def test_every_verb_says_whether_it_shares():
    sharing = {
        (wing, command.verb)
        for wing in ("llm_codes", "vision_codes", "toy")
        for command in commands.load_name(f"{wing}.__main__:COMMANDS")
        if command.shares
    }
    assert sharing == SHARING


def test_a_verb_that_does_not_share_refuses_at_once(monkeypatch):
    refuse_sharing("polytopes")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        UserError, match="expected one process: `polytopes` does not share its work; got 2; start it wi"
    ):
        refuse_sharing("polytopes")
