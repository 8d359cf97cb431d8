"""No measured number is typed into the README or a page of docs: those stand in the findings' data.

A number counts as measured where it has decimals, a percent sign, or a unit of time, memory, rate or ratio. Left out
are code, what `make findings` writes, pages that are generated, and `DEFINITIONS`: settings, thresholds and sizes that
a command or a source fixes. The changelog says what changed and is not looked at.
"""

from __future__ import annotations

import re

import pytest

from eval.findings.headlines import BEGIN, END
from tests.test_readme import PAGES

GENERATED = {f"docs/reference/{name}.md" for name in ("flags", "versions", "architectures", "results")}
UNIT = r"(?:m?s|sec|seconds?|min|minutes?|hours?|h|days?|[KMG]i?B|tokens|tok|steps|times|x|fold)(?:/s| a second)?\b"
MEASURED = re.compile(rf"(?<![\w.,/-])-?(?:\d[\d,]*\.\d+|\.\d+|\d[\d,]*%|\d[\d,]* ?{UNIT}(?! ?\d))")
DEFINITIONS = {
    "README.md": ["Python 3.11"],
    "docs/explanation/dropout-and-codes.md": ["0.5 (of what the ReLU sees"],
    "docs/explanation/eigenspectra.md": ["95% interval", "16 tokens a dimension"],
    "docs/explanation/scoring-and-controls.md": ["+-0.1", "-0.1"],
    "docs/explanation/spline-codes.md": ["5 tokens a set", ".5 in both wings", "3 x 3 kernels", "5 x 5"],
    "docs/how-to/overnight-and-resume.md": ["30 s says"],
}
"""By page: words that begin with a number which is no measurement."""


def is_written(text: str) -> bool:
    """Whether a page says in its first line that it is written from data."""
    return text.startswith("<!-- written from ")


def prose(text: str) -> str:
    """A page without its code, its links' targets and the lines that are written from the findings."""
    before, _, rest = text.partition(BEGIN)
    text = before + rest.partition(END)[2]
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|^## \[.*$", " ", text, flags=re.MULTILINE)


def typed_numbers(text: str, allowed: list[str]) -> list[str]:
    """Measured numbers of a page, each with the words after it, but for those that are allowed."""
    words = prose(text)
    found = [words[match.start() : match.start() + 60].split("\n")[0] for match in MEASURED.finditer(words)]
    return [one for one in found if not any(one.startswith(start.removeprefix("Python ")) for start in allowed)]


@pytest.mark.parametrize("page", sorted(page for page in set(PAGES) - GENERATED if not is_written(PAGES[page])))
def test_no_measured_number_is_typed(page):
    assert typed_numbers(PAGES[page], DEFINITIONS.get(page, [])) == [], "write it into docs/findings and link to it"


@pytest.mark.parametrize(
    "line",
    [
        "It takes 3.8 hours.",
        "a token costs 276 tokens a second",
        "| 16 GB | needs .74 |",
        "found 7 times faster",
        "in 12 of 14, or 86%",
        "leaves .271 of it",
        "takes 12 minutes",
        "4 GB at most",
    ],
)
def test_a_typed_number_is_seen(line):
    assert typed_numbers(line, [])


def test_code_and_rendered_lines_are_left_out():
    code = "a `--tokens 2.5` b\n```text\n0.71\n```\n"
    text = f"{code}{BEGIN}\nit leaves 0.3 [0.2, 0.4]\n{END}\n[c](d-1.5.md) in 2022, layer 3"
    assert typed_numbers(text, []) == []
