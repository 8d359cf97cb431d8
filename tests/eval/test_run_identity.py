"""What decides a result: configuration, inputs, code; and whose code a callable is."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from eval.options import Options, nested, option
from eval.run_identity import Origin, code_of, identity, module_of, short_hash


@dataclass(frozen=True)
class Inner(Options):
    tokens: int = option(5, "how many")
    batch_size: int = option(8, "does not decide", identity=False)


@dataclass(frozen=True)
class Outer(Options):
    inputs: Inner = nested(Inner())
    seed: int = option(0, "seed")


def test_nested_options_are_laid_flat_and_what_does_not_decide_is_left_out():
    assert identity(Outer()) == {"tokens": 5, "seed": 0}


def test_the_code_of_a_partial_is_that_of_its_function():
    assert module_of(functools.partial(functools.partial(identity, 1), 2)) == "eval.run_identity"
    assert module_of(lambda: None) == __name__


def test_code_of_what_is_not_ours_is_unknown():
    assert code_of(["numpy", "__main__", ""]) == ""
    assert code_of(["eval.scores"]) not in ("", code_of(["eval.claims"]))


def test_an_origin_survives_json_and_names_every_difference():
    origin = Origin("c", {"model": "m"}, "x", ("toy.capacity.study",))
    assert Origin.from_json(origin.as_json()) == origin
    assert origin.differences(origin) == []
    assert origin.differences(Origin("d", {"model": "n"}, "y", ("toy.capacity.study",))) == [
        "another configuration",
        "other model (m, now n)",
        "other code of toy.capacity.study",
    ]
    assert Origin.from_json(None) is None


def test_a_short_hash_is_one_of_content():
    assert short_hash({"a": 1}) == short_hash({"a": 1}) != short_hash({"a": 2})
