"""Options: one declaration for script and command, checked where the object is made."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import UserError
from eval.flags import add_options, build, flat_values, leaves
from eval.option_values import parse
from eval.options import Options, RunConfig, chosen, nested, option


@dataclass(frozen=True, kw_only=True)
class FitOptions(Options):
    """How the fit is made."""

    first: int = option(10, "first index", at_least=1)
    last: int = option(50, "last index", at_least=2)
    penalty: float = option(0.5, "penalty", above=0, at_most=1)
    sites: tuple[str, ...] = option(("a", "b"), "places", formerly=("site",))
    layers: str = option(":", "layers", kind="layers")
    features: tuple[int, ...] = option((), "features", at_least=0)
    method: str = option("leaf", "method", choices=("leaf", "eom"))
    memory: float = option(8.0, "limit", above=0, identity=False)

    def validate(self) -> None:
        if self.last <= self.first:
            raise UserError(f"expected --last above --first; got {self.last} and {self.first}; widen the range")


@dataclass(frozen=True, kw_only=True)
class FitConfig(RunConfig):
    """Fit."""

    fit: FitOptions = nested(FitOptions(first=3))
    again: FitOptions = nested(FitOptions(), prefix="again_")


def read(*arguments: str) -> FitConfig:
    parser = argparse.ArgumentParser()
    add_options(parser, FitConfig)
    return build(FitConfig, vars(parser.parse_args(["--out", "x", *arguments])))


def test_nested_options_are_flags_and_keep_their_own_defaults():
    assert read().fit == FitOptions(first=3) and read().again.first == 10
    found = read("--first", "5", "--again-first", "6", "--sites", "c, d", "--layers", "2:4", "--penalty", "1")
    assert (found.fit.first, found.again.first, found.fit.sites) == (5, 6, ("c", "d"))
    assert found.fit.penalty == 1.0 and found.again.sites == ("a", "b")


def test_script_and_command_are_one_declaration():
    assert chosen(FitOptions, None, {"first": 5, "sites": "c"}) == FitOptions(first=5, sites=("c",))
    assert FitOptions(layers=2).layers == "2" and FitOptions(layers=[0, 3]).layers == "0,3"  # type: ignore[arg-type]
    assert FitOptions(last=1e2).last == 100  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"unknown option 'frist' of FitOptions: did you mean first"):
        chosen(FitOptions, None, {"frist": 5})


def test_an_old_name_works_and_says_the_new_one(capsys):
    assert read("--site", "c").fit.sites == ("c",)
    assert "--site is called --sites now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"first": 0}, "expected --first a whole number of at least 1; got 0; give a value in that range"),
        ({"penalty": float("nan")}, "expected --penalty a number above 0 and at most 1; got nan"),
        ({"penalty": float("inf")}, "got inf"),
        ({"penalty": 0}, "expected --penalty a number above 0 and at most 1; got 0.0"),
        ({"sites": ()}, "expected at least one value for --sites; got an empty list; give one"),
        ({"sites": ("a", "a")}, "expected each value of --sites once; got 'a' twice"),
        ({"features": (1, -1)}, "expected --features a whole number of at least 0; got -1"),
        ({"method": "loaf"}, "unknown --method 'loaf': did you mean leaf?; expected one of leaf, eom"),
        ({"first": True}, "expected --first a whole number of at least 1; got True"),
        ({"first": 50, "last": 50}, "expected --last above --first; got 50 and 50; widen the range"),
        ({"first": None}, "expected a value for --first; got None"),
    ],
)
def test_impossible_values_are_one_line(changes, text):
    with pytest.raises(UserError) as raised:
        FitOptions(**changes)
    assert text in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 1.5, float("nan"), "7"])
def test_a_seed_is_a_whole_number_below_two_to_the_63(seed):
    with pytest.raises(UserError, match=r"expected --seed a whole number of at least 0 and at most 2\^63 - 1"):
        RunConfig(out="x", seed=seed)


@pytest.mark.parametrize("device", ["word", "meta", "cuda:x", "", "cpu:1"])
def test_a_device_is_one_of_the_known_kinds(device):
    with pytest.raises(UserError, match="expected --device cpu, cuda, cuda:N or mps"):
        RunConfig(out="x", device=device)


def test_whole_numbers_may_be_written_short():
    assert parse("1e5", int, "--tokens") == 100_000
    with pytest.raises(UserError, match="expected --tokens a whole number; got '1.5'"):
        parse("1.5", int, "--tokens")


def test_identity_leaves_out_what_does_not_decide_results():
    values = flat_values(read("--memory", "2"), identity_only=True)
    assert values["first"] == 3 and "memory" not in values and "again_memory" not in values and "out" not in values


def test_two_options_of_one_flag_are_our_fault():
    @dataclass(frozen=True, kw_only=True)
    class Twice(RunConfig):
        """Twice."""

        fit: FitOptions = nested(FitOptions())
        again: FitOptions = nested(FitOptions())

    with pytest.raises(ValueError, match="two options --first"):
        add_options(argparse.ArgumentParser(), Twice)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_in_one_line(text):
    for flag, leaf in leaves(FitConfig):
        try:
            parse(text, leaf.annotation, flag)
        except UserError as error:
            assert "expected" in str(error)


def test_a_number_without_a_lower_limit_is_at_least_0_or_its_default():
    @dataclass(frozen=True, kw_only=True)
    class Loose(Options):
        """Loose."""

        steps: int = option(10, "steps")
        layer: int = option(-1, "layer (-1: the middle one)")

    assert Loose(layer=-1).layer == -1
    for changes in ({"steps": -1}, {"layer": -2}, {"steps": 2**63}):
        with pytest.raises(UserError, match="give a value in that range"):
            Loose(**changes)


def test_an_error_names_the_flag_as_it_is_on_this_command_line():
    with pytest.raises(UserError, match=r"expected --again-last above --again-first; got 4 and 5"):
        read("--again-first", "5", "--again-last", "4")
    with pytest.raises(UserError, match=r"expected --last above --first; got 4 and 5"):
        read("--first", "5", "--last", "4")
