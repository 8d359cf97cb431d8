"""Kinds of units are read as they are written, or refused in one line."""

from __future__ import annotations

import pytest

from eval.errors import UserError
from eval.explanation.units import Unit, compared_kinds, parse_kinds


def test_several_dictionaries_stand_side_by_side() -> None:
    assert parse_kinds(("neuron", "sae:A", "sae:B")) == [("neuron", ""), ("sae", "A"), ("sae", "B")]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (("neuron:17",), "expected neuron alone .* got 'neuron:17'; write neuron"),
        (("sae",), "expected an SAELens folder after `sae`"),
        (("sae:A", "sae:A"), "'sae:A' stands twice in --units"),
        (("nueron",), "unknown kind of unit 'nueron': did you mean neuron"),
        ((), "expected at least one kind of unit"),
    ],
)
def test_what_cannot_be_run_is_refused(written: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_kinds(written)


def test_the_first_kind_of_each_layer_is_compared_with_the_others_there() -> None:
    everywhere = [Unit(kind, layer, 0) for kind in ("projection", "neuron", "residual") for layer in (0, 1)]
    measured = [(unit, "trained") for unit in everywhere] + [(everywhere[2], "shuffled")]
    pairs = [("projection", "neuron"), ("projection", "residual"), ("neuron", "neuron (shuffled)")]
    assert compared_kinds(measured) == pairs
    of_one_layer = [Unit("sae", layer, 0, source=f"{name}{layer}") for layer in (0, 1) for name in "AB"]
    found = compared_kinds((unit, "trained") for unit in of_one_layer)
    assert found == [("sae:A0", "sae:B0"), ("sae:A1", "sae:B1")]  # none is left without its comparison
