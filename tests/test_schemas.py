"""The schemas in the package are those of the types, and a results file that differs from its schema is named."""

from __future__ import annotations

import pytest

from eval.claims import VERDICTS, Claim
from tests.schemas import FOLDER, WINGS, commands, mismatches, schema_path, schema_text

VERBS = [(wing, command) for wing in WINGS for command in commands(wing)]


@pytest.mark.parametrize(("wing", "command"), VERBS, ids=[f"{wing} {command.verb}" for wing, command in VERBS])
def test_the_schema_in_the_package_is_that_of_the_type(wing, command) -> None:
    path = schema_path(wing, command.verb)
    assert path.exists() and path.read_text(encoding="utf-8") == schema_text(command), "run `make schemas`"


def test_no_schema_is_left_over() -> None:
    assert set(FOLDER.glob("*.json")) == {schema_path(wing, command.verb) for wing, command in VERBS}


def test_a_difference_is_named_by_its_place() -> None:
    good = {"claims": [], "results": {}, "provenance": {}}
    assert mismatches("toy", "one-way", {"results": {}}) == [
        "top: 'claims' is a required property",
        "top: 'provenance' is a required property",
        *[f"results: {name!r} is a required property" for name in ("warnings", "fixed", "varying")],
    ]
    claim = Claim("c", "s", "p", 1.0, "holds").to_json() | {"verdict": "perhaps"}
    found = mismatches("toy", "one-way", good | {"claims": [claim]})
    assert found[0] == f"claims/0/verdict: 'perhaps' is not one of {list(VERDICTS)}"
    assert mismatches("toy", "no-such-verb", {}) == []
