"""The pages of the findings, written from their data: `docs/findings/<topic>.md` and `docs/findings/index.md`.

No number stands on a page that is not in the data. A finding whose code has changed since it was measured is marked
stale in words; that it is stale is no error. `python -m eval findings render` (or `make findings`) writes the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eval.files import write_text
from eval.findings.changes import reasons
from eval.findings.coverage import written_coverage
from eval.findings.finding import Code, Finding, Table, Topic, is_current, read_topics
from eval.findings.headlines import headline_lines, read_headlines, relative_link, with_headlines
from eval.findings.text import anchor, cell_text
from eval.options import option
from eval.report.tables import text_table

GENERATED = "<!-- written from docs/findings/{source} by `make findings`; change the data, not this page -->"
CHOICES = "choices.md"
STATUS = {
    True: "current: the code that computed this is unchanged",
    False: "**stale**: the code that computed this has changed since",
    None: "measured at the commit named; the code has moved since",
}
"""Words for `is_current`. They are true of the code at the last rendering."""
CHANGE, SINCE = "Its code since then: ", "What that means: "
UNKNOWN = "it was not measured again, so whether a number of it would differ today is not known."


@dataclass(frozen=True)
class FindingsConfig:
    """Write the findings pages from the data in docs/findings, and say which findings are stale."""

    folder: str = option("docs/findings", "folder that holds topics.json and one folder for each topic")


def command(config: FindingsConfig) -> str:
    """`python -m eval findings render`: writes every page; returns a table of findings and their states."""
    folder = Path(config.folder)
    topics = read_topics(folder)
    old = [it.code for topic in topics for it in topic.findings if not is_current(it.code)]
    for name, text in pages(topics, reasons(old)).items():
        write_text(folder / name, text)
    for name, text in front_pages(folder, topics).items():
        write_text(_root(folder) / name, text)
    for path, text in written_coverage(folder, topics).items():
        write_text(path, text)
    rows = [
        {"topic": topic.name, "finding": finding.name, "state": state(finding.code).split(":")[0].strip("*")}
        for topic in topics
        for finding in topic.findings
    ]
    return text_table(rows, ("topic", "finding", "state"))


def pages(topics: Iterable[Topic], changes: Mapping[Code, str] | None = None) -> dict[str, str]:
    """The text of every page by its file name; changes: what of a finding's code has changed since, in words."""
    listed = list(topics)
    return {
        "index.md": index_page(listed),
        CHOICES: choices_page(listed),
        **{f"{topic.name}.md": topic_page(topic, changes or {}) for topic in listed},
    }


def front_pages(folder: Path, topics: Iterable[Topic]) -> dict[str, str]:
    """The text of every page that `headlines.json` names, by its path from the project's folder, with today's lines.

    A folder of findings that stands by itself, outside a project, has no such pages.
    """
    front, listed = read_headlines(folder), list(topics)
    there = [name for name in front.pages if (_root(folder) / name).exists()]
    texts = {name: (_root(folder) / name).read_text(encoding="utf-8") for name in there}
    return {
        name: with_headlines(text, headline_lines(front.headlines, listed, relative_link(name)), name)
        for name, text in texts.items()
    }


def _root(folder: Path) -> Path:
    """The project's folder: findings stand in docs/findings of it."""
    return folder.resolve().parents[1]


def state(code: Code) -> str:
    """In words: is the code that measured today's code?"""
    return STATUS[is_current(code)]


def index_page(topics: Iterable[Topic]) -> str:
    """The list of topics and their findings, with the state of each."""
    lines = [GENERATED.format(source="topics.json"), "", "# Findings", ""]
    lines += ["What was measured, by which code, on what, and what there is to doubt. The numbers are data:"]
    lines += [
        "one JSON file for each finding; `eval/findings/finding.py` documents its keys. Pages are written from them.",
        "`make finding NAME=spectra/embedded` runs the commands of one again, as they are printed. What was chosen",
        f"after results had been seen stands on [a page of its own]({CHOICES}).",
        "",
    ]
    for topic in topics:
        lines += [f"## [{topic.title}]({topic.name}.md)", "", topic.about, ""]
        lines += [f"- [{it.title}]({topic.name}.md#{anchor(it.title)}): {state(it.code)}" for it in topic.findings]
        lines += [""]
    return "\n".join(lines).rstrip("\n") + "\n"


def choices_page(topics: Iterable[Topic]) -> str:
    """Everything that was chosen after results had been seen, by finding."""
    lines = [GENERATED.format(source="*/*.json"), "", "# Choices made after seeing results", ""]
    lines += [
        "A setting that was changed once a result was known makes that result likelier than its interval says. Every",
        "such choice that we know of stands here, with the finding it bears on.",
        "",
    ]
    for topic in topics:
        for finding in topic.findings:
            where = f"[{finding.title}]({topic.name}.md#{anchor(finding.title)})"
            lines += [f"- {where}: {choice}" for choice in finding.choices]
    return "\n".join(lines).rstrip("\n") + "\n"


def topic_page(topic: Topic, changes: Mapping[Code, str] | None = None) -> str:
    """One topic: every finding with its question, tables, figures, notes, doubts and provenance."""
    lines = [GENERATED.format(source=f"{topic.name}/*.json"), "", f"# {topic.title}", "", topic.about, ""]
    for finding in topic.findings:
        lines += finding_lines(finding, (changes or {}).get(finding.code, ""))
    return "\n".join(lines).rstrip("\n") + "\n"


def finding_lines(finding: Finding, change: str = "") -> list[str]:
    """The section of one finding; change: what of its code has changed since."""
    lines = [f"## {finding.title}", "", f"*{finding.question}*", "", f"State: {state(finding.code)}.", ""]
    lines += [f"{CHANGE}{change}.", ""] if change else []
    lines += [] if is_current(finding.code) else [f"{SINCE}{finding.since or UNKNOWN}", ""]
    lines += ["```bash", *finding.command, "```", ""] if finding.command else []
    lines += [f"No command measures this again: {finding.no_command}", ""] if finding.no_command else []
    for figure in finding.figures:
        lines += [f"![{figure.caption}](../{figure.path.removeprefix('docs/')})", ""]
    for table in finding.tables:
        lines += table_lines(table)
    lines += _bullets("", finding.notes)
    lines += _bullets("Chosen after seeing results:", finding.choices)
    lines += _bullets("What to doubt:", finding.doubts)
    lines += _bullets("Measured with:", provenance(finding))
    return lines


def provenance(finding: Finding) -> list[str]:
    """Inputs, code, machine and date of a finding, one phrase each."""
    code = f"commit `{finding.code.commit}`"
    if finding.code.modules:
        code += ", modules " + ", ".join(f"`{name}`" for name in finding.code.modules)
    if finding.code.fingerprint:
        code += f", fingerprint `{finding.code.fingerprint}`"
    return [
        *(f"input: {text}" for text in finding.inputs),
        f"code: {code}",
        f"machine: {finding.machine}",
        f"date: {finding.date}",
        f"data: `{finding.name}.json`",
    ]


def table_lines(table: Table) -> list[str]:
    """A Markdown table under its title; bars inside cells are escaped."""
    rows = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    lines = ["| " + " | ".join(cell_text(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [f"**{table.title}**", "", *lines, ""]


def _bullets(head: str, texts: Iterable[str]) -> list[str]:
    lines = [f"- {text}" for text in texts]
    return [*([head, ""] if head else []), *lines, ""] if lines else []
