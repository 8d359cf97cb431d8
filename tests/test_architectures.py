"""Every row of `docs/reference/architectures.md`: measured again, with the same outcome and errors of rounding only."""

from __future__ import annotations

import pytest

from tests.architecture_families import FAMILIES
from tests.architectures import PAGE, measure, small_tokenizer

ROWS = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


def test_the_page_has_every_family_once():
    assert [row[0] for row in ROWS[2:]] == list(FAMILIES), "run make architectures"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_as_the_page_says(family, tokenizer):
    found = measure(family, tokenizer)
    (row,) = [row for row in ROWS if row[0] == family]
    assert tuple(row[7:]) == found.outcome, "run make architectures, and read what changed"
    errors = [error for error in found.errors if error is not None]
    assert all(error < ROUNDING for error in errors), errors
    assert bool(found.offered) != bool(found.refused)
    if found.offered:
        assert {"resid_pre", "resid_post"} <= set(found.offered)
