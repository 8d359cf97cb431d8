"""Findings on one model agree: where more text gives another verdict, one of the two is `cannot tell`, or the page
names the statement and says what moved."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "findings"
OPEN = "cannot tell"


def column(finding: str, table: str, statement: str, verdict: str) -> dict[str, str]:
    """Verdicts by statement, of the table whose title starts so."""
    tables = json.loads((FOLDER / f"{finding}.json").read_text(encoding="utf-8"))["tables"]
    found = next(one for one in tables if one["title"].startswith(table))
    where, what = found["columns"].index(statement), found["columns"].index(verdict)
    return {row[where]: row[what] for row in found["rows"]}


VERDICTS = {
    "report": column("polytopes-language/control", "Measured [95%", "statement", "verdict now"),
    "40,000": column("polytopes-language/stability", "Verdicts", "statement", "40,000 tokens"),
    "100,000": column("polytopes-language/stability", "Verdicts", "statement", "100,000 tokens"),
    "250,000": column("polytopes-language/stability", "Verdicts", "statement", "250,000 tokens"),
    "all wings": column("statements/all-wings", "Polytopes, embedded model", "statement", "verdict"),
}

MOVED = column("polytopes-language/stability", "Verdicts", "statement", "moved")


@pytest.mark.parametrize("pair", list(combinations(VERDICTS, 2)), ids=" and ".join)
def test_a_verdict_that_turns_is_one_that_the_page_says_turns(pair: tuple[str, str]) -> None:
    one, other = (VERDICTS[name] for name in pair)
    assert set(one) == set(other) and len(one) == 15
    turned = {name for name in one if one[name] != other[name] and OPEN not in (one[name], other[name])}
    assert turned <= {name for name, moved in MOVED.items() if moved == "yes"}


def test_the_page_names_what_turned_with_more_text_and_says_why() -> None:
    notes = json.loads((FOLDER / "polytopes-language/stability.json").read_text(encoding="utf-8"))["notes"]
    sizes = [VERDICTS[name] for name in ("40,000", "100,000", "250,000")]
    turned = {name for name in sizes[0] if len({one[name] for one in sizes} - {OPEN}) > 1}
    assert turned == {name for name, moved in MOVED.items() if moved == "yes"}
    assert all(name in notes[0] for name in turned)


def test_the_table_over_all_wings_says_what_the_finding_at_its_tokens_says() -> None:
    assert VERDICTS["all wings"] == VERDICTS["250,000"]
