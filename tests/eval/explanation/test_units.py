"""Kinds of units are read as they are written, or refused in one line."""

from __future__ import annotations

import pytest

from eval.errors import UserError
from eval.explanation.units import parse_kinds


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
