"""The page of versions is written from the declared ranges, the pins and what was resolved."""

from __future__ import annotations

import json

import pytest

from tests.versions import DATA, PAGE, ROOT, at_the_lowest, page, pinned, requirements

FOUND = json.loads(DATA.read_text(encoding="utf-8"))


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".") if part.isdigit())


def test_the_page_agrees_with_the_ranges_and_the_pins():
    assert PAGE.read_text(encoding="utf-8") == page(FOUND), "run `python -m tests.versions`"


@pytest.mark.parametrize("name", requirements())
def test_pin_lowest_and_newest_lie_in_the_declared_range(name):
    pin = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))[name]
    for version in (pin, FOUND["lowest"][name], FOUND["newest"][name]):
        for bound in requirements()[name].split(","):
            if bound.startswith(">="):
                assert numbers(version) >= numbers(bound[2:]), f"{name} {version}: run `make versions`"
            elif bound.startswith("<"):
                assert numbers(version) < numbers(bound[1:]), f"{name} {version}: run `make versions`"


def test_another_lowest_version_than_the_tested_one_is_said():
    tested = {"python": "3.11", "files": [], "versions": {"numpy": "2.0.0"}}
    assert at_the_lowest({"lowest": {"numpy": "2.0.0"}, "tested": tested}, "numpy") == "in the tests below"
    assert at_the_lowest({"lowest": {"numpy": "2.0.1"}, "tested": tested}, "numpy") == "resolved, not tested"
    assert at_the_lowest({"lowest": {"scipy": "1.0"}, "tested": tested}, "scipy") == "resolved, not tested"


def test_files_that_passed_are_there():
    named = [*FOUND["tested"]["files"], *FOUND["tested newest"]["files"]]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_newest_version_that_was_not_tested_is_said():
    data = {**FOUND, "newest": FOUND["newest"] | {"openai": "3.99.0", "numpy": "2.4.6"}}
    assert "3.99.0 (resolved, not tested) |" in page(data)
    data["tested newest"] = FOUND["tested newest"] | {"versions": {"openai": "3.99.0"}}
    assert "3.99.0 (in the tests below) |" in page(data)
