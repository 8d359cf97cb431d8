"""The findings that a front page shows: one line each, with its verdict, its number and a link to its section.

`docs/findings/headlines.json` names the pages and, for each line, the cells of the findings that it quotes:

    {"pages": ["README.md"],
     "headlines": [{"text": "Clusters of codes are monosemantic: {0}, without training {1}.",
                    "finding": "polytopes-language/control", "table": "Measured [95% interval], ...",
                    "row": "clusters of codes are monosemantic (token)", "verdict": "verdict now",
                    "numbers": ["trained", "untrained"]}]}

`row` is the text of any cell of the row; `verdict` and `numbers` name columns. The lines are written between the marks
`BEGIN` and `END` of each page, by `make findings`, so that a front page holds no number of its own.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eval.errors import UserError, known_name
from eval.findings.finding import Cell, Finding, Table, Topic
from eval.findings.text import anchor, cell_text

FILE = "headlines.json"
BEGIN = "<!-- written by `make findings` from docs/findings/headlines.json -->"
END = "<!-- end of what `make findings` writes -->"


@dataclass(frozen=True)
class Headline:
    """One line: its text with places {0}, {1} for the numbers, and the cells of one row of one finding's table."""

    text: str
    finding: str
    """`topic/name` of the finding."""
    table: str
    row: str
    verdict: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class FrontPages:
    """The pages that show the lines, by their path from the project's folder, and the lines."""

    pages: tuple[str, ...]
    headlines: tuple[Headline, ...]


def read_headlines(folder: Path) -> FrontPages:
    """What `headlines.json` in `folder` says; no page and no line where there is no such file."""
    path = folder / FILE
    if not path.exists():
        return FrontPages((), ())
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = tuple(Headline(**{**line, "numbers": tuple(line["numbers"])}) for line in found["headlines"])
    return FrontPages(tuple(found["pages"]), lines)


def headline_lines(headlines: Iterable[Headline], topics: Iterable[Topic], link: str) -> list[str]:
    """The lines in Markdown; link: the folder of the findings as the page reaches it.

    Raises `UserError` for a finding, table, row or column that is not there, with the nearest name.
    """
    findings = {f"{topic.name}/{finding.name}": finding for topic in topics for finding in topic.findings}
    return [_line(headline, findings, link) for headline in headlines]


def with_headlines(page: str, lines: Iterable[str], name: str) -> str:
    """The text of a page with what stands between its marks replaced by `lines`."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"expected the marks {BEGIN} and {END} in {name}, found none; add them where the lines belong")
    return "\n".join([before + BEGIN, "", *lines, "", END + after])


def relative_link(page: str, findings: str = "docs/findings") -> str:
    """The folder of the findings as a page at `page` (from the project's folder) links to it."""
    return posixpath.relpath(findings, posixpath.dirname(page) or ".")


def _line(headline: Headline, findings: dict[str, Finding], link: str) -> str:
    known_name(headline.finding, findings, "finding of a headline")
    finding = findings[headline.finding]
    tables = {table.title: table for table in finding.tables}
    known_name(headline.table, tables, f"table of {headline.finding}")
    cells = row_cells(tables[headline.table], headline.row, headline.finding)
    for column in (headline.verdict, *headline.numbers):
        known_name(column, cells, f"column of {headline.finding}")
    text = headline.text.format(*(cell_text(cells[column]) for column in headline.numbers))
    topic = headline.finding.split("/")[0]
    address = f"{link}/{topic}.md#{anchor(finding.title)}"
    return f"- **{cell_text(cells[headline.verdict])}**: {text} [{finding.title}]({address})"


def row_cells(table: Table, row: str, where: str) -> dict[str, Cell]:
    """The cells of the row that holds the text `row`, by column."""
    for cells in table.rows:
        if row in cells:
            return dict(zip(table.columns, cells, strict=True))
    raise UserError(f"expected a row with {row!r} in table {table.title!r} of {where}, found none; mend headlines.json")
