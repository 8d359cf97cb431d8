"""Every panel of the sources: where it is here, what it claims, and the verdict that stands in the findings today.

`docs/reference/coverage.json` lists them; `python -m eval findings render` writes `coverage.md` beside it.

    {"sources": [{"key": "MK", "title": "...", "panels": [
       {"panel": "Fig. 7a", "what": "alpha by depth", "state": "shown", "module": "llm_codes.lenses.spectra.study",
        "verb": "llm_codes spectra",
        "claims": [{"finding": "spectra/smollm2", "row": "alpha >= -1 at every depth"}], "why": ""}]}]}

A verdict is never typed: it is read from the finding that a claim names. `state` is one of `STATES`; what is `weaker`
or `missing` says why. A row is found by the text of any of its cells, in the first table of the finding that has it
and a column of verdicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.errors import UserError, known_name
from eval.findings.finding import Finding, Topic
from eval.findings.headlines import row_cells
from eval.findings.text import anchor, cell_text

FILE = "coverage"
STATES = ("shown", "weaker", "missing", "not needed")
VERDICT_COLUMNS = ("verdict now", "verdict")
HEAD = "<!-- written from docs/reference/coverage.json by `make findings`; change the data, not this page -->"


@dataclass(frozen=True)
class PanelClaim:
    """A row of a finding's table of claims: `topic/name`, and the text of one of its cells."""

    finding: str
    row: str


@dataclass(frozen=True)
class Panel:
    """One panel or statement of a source. module, verb: what computes it and what runs it; empty where nothing does."""

    panel: str
    what: str
    state: str
    module: str = ""
    verb: str = ""
    claims: tuple[PanelClaim, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Source:
    """A paper or post: its key in the bibliography, its title, and its panels in their order."""

    key: str
    title: str
    panels: tuple[Panel, ...]


def read_coverage(path: Path) -> list[Source]:
    """Every source of `path`.

    Raises `UserError` for an unknown state, and for a panel that is weaker or missing and does not say why.
    """
    sources = []
    for source in json.loads(path.read_text(encoding="utf-8"))["sources"]:
        panels = []
        for one in source["panels"]:
            claims = tuple(PanelClaim(**claim) for claim in one.get("claims", ()))
            panel = Panel(**{**one, "claims": claims})
            known_name(panel.state, STATES, f"state of {panel.panel}")
            if panel.state in ("weaker", "missing") and not panel.why:
                raise UserError(f"expected {panel.panel!r} to say why it is {panel.state}, got nothing; write its why")
            panels.append(panel)
        sources.append(Source(source["key"], source["title"], tuple(panels)))
    return sources


def coverage_page(sources: Sequence[Source], topics: Iterable[Topic], link: str = "../findings") -> str:
    """The page: a table for each source, under a line that counts the states."""
    findings = {f"{topic.name}/{finding.name}": finding for topic in topics for finding in topic.findings}
    panels = [panel for source in sources for panel in source.panels]
    counts = ", ".join(f"{sum(panel.state == state for panel in panels)} {state}" for state in STATES)
    lines = [HEAD, "", "# Panels of the sources", ""]
    lines += [
        f"Every panel of the {len(sources)} sources, {len(panels)} in all: {counts}. Where it is computed, which",
        "command runs it, and what the findings say of its claim today. What is weaker than in its source, or missing,",
        "says why.",
        "",
    ]
    for source in sources:
        lines += [f"## {source.title}", "", f"[Bibliography](bibliography.md#{source.key}).", ""]
        lines += ["| panel | state | where | claims and verdicts | why |", "| --- | --- | --- | --- | --- |"]
        lines += [_line(panel, findings, link) for panel in source.panels]
        lines += [""]
    return "\n".join(lines).rstrip("\n") + "\n"


def verdict_of(claim: PanelClaim, finding: Finding) -> str:
    """The verdict in the first table that has the claim's row and a column of verdicts.

    Raises `UserError` where there is none.
    """
    for table in finding.tables:
        columns = [name for name in VERDICT_COLUMNS if name in table.columns]
        if columns and any(claim.row in row for row in table.rows):
            return cell_text(row_cells(table, claim.row, claim.finding)[columns[0]])
    raise UserError(f"expected a row {claim.row!r} with a verdict in {claim.finding}, got none; mend {FILE}.json")


def _line(panel: Panel, findings: dict[str, Finding], link: str) -> str:
    words = []
    for claim in panel.claims:
        known_name(claim.finding, findings, f"finding of {panel.panel}")
        finding = findings[claim.finding]
        address = f"{link}/{claim.finding.split('/')[0]}.md#{anchor(finding.title)}"
        words.append(f"[{claim.row}]({address}): **{verdict_of(claim, finding)}**")
    where = [f"`{name}`" for name in (panel.module, panel.verb and f"python -m {panel.verb}") if name]
    cells = [f"{panel.panel}: {panel.what}", panel.state, "<br>".join(where), "<br>".join(words), panel.why]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def written_coverage(folder: Path, topics: Iterable[Topic]) -> dict[Path, str]:
    """The page by its path, for a project whose findings stand in `folder`; nothing where no panels are listed."""
    data = folder.resolve().parent / "reference" / f"{FILE}.json"
    return {data.with_suffix(".md"): coverage_page(read_coverage(data), topics)} if data.exists() else {}
