"""One offline HTML file per run: everything inlined, everything escaped, nothing loaded from outside.

The content security policy of the page forbids every outside load, so a token or an explanation that smuggles in
markup can neither run nor call home, even if an escape were forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from eval.report.figures import SavedFigure
from eval.report.summary import Picture, summary_of
from eval.report.tables import cell, columns_of
from eval.results import Result
from eval.runs import Run, json_ready

ASSETS = Path(__file__).parent / "assets"


def script_json(value: Any) -> Markup:
    """JSON that is safe inside a `<script>` element: `<`, `>` and `&` are escaped."""
    text = json.dumps(json_ready(value), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


@dataclass
class Section:
    """A chapter: anchor, title, and its blocks as safe markup."""

    anchor: str
    title: str
    blocks: list[Markup] = field(default_factory=list)
    judged: list[tuple[str, str]] = field(default_factory=list)
    """Every statement of its tables, with its verdict: what the page's summary shows."""
    doubts: list[str] = field(default_factory=list)
    """What its warnings say."""
    pictures: list[Picture] = field(default_factory=list)
    """Its drawings; the first of the page stands in the summary too."""

    def text(self, paragraph: str) -> Section:
        """A paragraph; everything in it is escaped."""
        self.blocks.append(Markup("<p>") + escape(paragraph) + Markup("</p>"))
        return self

    def warning(self, paragraph: str) -> Section:
        """A paragraph that stands out: a failed check, an undefined result, a negative finding."""
        self.doubts.append(paragraph)
        self.blocks.append(Markup('<p class="warning">') + escape(paragraph) + Markup("</p>"))
        return self

    def figure(self, saved: SavedFigure, caption: str | None = None) -> Section:
        """A saved figure with its caption."""
        # markup of matplotlib, which escapes text
        words = escape(saved.caption if caption is None else caption)
        svg = saved.markup.replace("<svg", f'<svg role="img" aria-label="{words}"', 1)
        if found := re.match(r'<svg[^>]*?\bviewBox="([-\d. ]+)"', svg):
            picture = Picture(f"{self.anchor}-picture-{len(self.pictures) + 1}", str(words), found[1])
            svg = svg.replace("<svg", f'<svg id="{picture.anchor}"', 1)
            self.pictures.append(picture)
        markup = Markup(svg)  # noqa: S704
        self.blocks.append(Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(markup, words))
        return self

    def table(
        self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, caption: str = ""
    ) -> Section:
        """A table of rows; a `verdict` column is coloured by its value."""
        names = columns_of(rows, columns) if rows else list(columns or [])
        head = Markup("").join(Markup("<th>{}</th>").format(name) for name in names)
        body = Markup("").join(
            Markup("<tr>{}</tr>").format(Markup("").join(_table_cell(name, row.get(name)) for name in names))
            for row in rows
        )
        self.judged += [(_statement(row), str(row["verdict"])) for row in rows if row.get("verdict")]
        template = Markup(
            '<div class="scroll" tabindex="0" role="region" aria-label="{}">'
            "<table><caption>{}</caption><thead><tr>{}</tr></thead>{}</table></div>"
        )
        self.blocks.append(
            template.format(caption or self.title, caption, head, Markup("<tbody>{}</tbody>").format(body))
        )
        return self

    def results(self, rows: Sequence[Result], columns: Sequence[str] | None = None, caption: str = "") -> Section:
        """A table of typed results, one a row, under the keys of their JSON."""
        return self.table([row.to_json() for row in rows], columns, caption)

    def details(self, summary: str, body: Markup) -> Section:
        """A block that opens on a click."""
        self.blocks.append(Markup("<details><summary>{}</summary>{}</details>").format(summary, body))
        return self

    def markup(self, html: Markup) -> Section:
        """Markup that the caller has escaped (`markupsafe.Markup.format` escapes its arguments)."""
        if not isinstance(html, Markup):
            raise TypeError("expected markupsafe.Markup (escape text with Markup.format), got a plain str")
        self.blocks.append(html)
        return self


def _table_cell(name: str, value: Any) -> Markup:
    kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else "text"
    if name == "verdict":
        kind = "verdict " + str(value).replace(" ", "-")
    return Markup('<td class="{}">{}</td>').format(kind, cell(value))


def _statement(row: Mapping[str, Any]) -> str:
    """What a judged row says: its claim or statement, else its first text; with the length it was judged at."""
    texts = [row[name] for name in ("claim", "statement") if row.get(name)]
    text = str(next(iter(texts), next((value for value in row.values() if isinstance(value, str)), "")))
    return f"{text} ({row['length']})" if texts and row.get("length") else text


class Page:
    """A report under construction: sections in order, then scripts and data for the interactive parts."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self.sections: list[Section] = []
        self.scripts: list[Markup] = []
        self.styles: list[Markup] = []
        self.data: dict[str, Markup] = {}

    def section(self, title: str, anchor: str | None = None) -> Section:
        """A new chapter, listed in the table of contents."""
        name = anchor or "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")
        section = Section(name, title)
        self.sections.append(section)
        return section

    def embed(self, name: str, value: Any) -> None:
        """Data for scripts: `JSON.parse(document.getElementById(name).textContent)`."""
        self.data[name] = script_json(value)

    def script(self, source: str) -> None:
        """A script of ours (an asset file's text), inlined once."""
        text = Markup(source.replace("</", "<\\/"))  # noqa: S704
        if text not in self.scripts:
            self.scripts.append(text)

    def style(self, source: str) -> None:
        """A style sheet of ours, inlined once."""
        text = Markup(source)  # noqa: S704
        if text not in self.styles:
            self.styles.append(text)

    def html(self, provenance: Mapping[str, Any] | None = None) -> str:
        """The whole page as one string."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined
        )
        base = Markup((ASSETS / "page.css").read_text(encoding="utf-8"))  # noqa: S704
        return environment.get_template("page.html").render(
            page=self,
            base_style=base,
            summary=summary_of(self.sections),
            table_script=Markup((ASSETS / "tables.js").read_text(encoding="utf-8")),  # noqa: S704
            provenance=json.dumps(json_ready(provenance or {}), indent=1, ensure_ascii=False),
        )

    def write(self, run: Run, name: str = "report.html", provenance: Mapping[str, Any] | None = None) -> Path:
        """Write the page into the run folder, atomically."""
        return run.write_text(name, self.html(run.provenance() if provenance is None else provenance))
