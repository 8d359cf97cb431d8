"""The head of a page: one picture, its statements with their verdicts, and what to doubt, each linked to its chapter.

What fails and what cannot be told stands as large as what holds. A page without statements and warnings has no summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup

SHOWN = 12
"""Statements and doubts that stand open; the others open on a click."""


@dataclass(frozen=True)
class Picture:
    """A drawing of a chapter that can be shown a second time: its anchor, its words (escaped), its `viewBox`."""

    anchor: str
    words: str
    view_box: str


class Chapter(Protocol):
    """What a summary reads of a section."""

    anchor: str
    title: str
    judged: list[tuple[str, str]]
    doubts: list[str]
    pictures: list[Picture]


def summary_of(sections: Sequence[Chapter]) -> Markup:
    """The summary as a section of the page; empty where there is nothing to say."""
    judged = [
        Markup('<li><span class="verdict {}">{}</span>: <a href="#{}">{}</a></li>').format(
            verdict.replace(" ", "-"), verdict, section.anchor, statement
        )
        for section in sections
        for statement, verdict in section.judged
    ]
    doubts = [
        Markup('<li><a href="#{}">{}</a>: {}</li>').format(section.anchor, section.title, doubt)
        for section in sections
        for doubt in section.doubts
    ]
    if not judged and not doubts:
        return Markup("")
    counts = Counter(verdict for section in sections for _, verdict in section.judged)
    parts = [Markup('<section id="summary" class="summary"><h2>Summary</h2>')]
    if judged:
        said = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
        parts += [Markup("<p>Statements: {}.</p>").format(said), _listed(judged)]
    if doubts:
        parts += [Markup("<p>What to doubt:</p>"), _listed(doubts)]
    parts += [_shown(section, picture) for section in sections for picture in section.pictures][:1]
    return Markup("").join([*parts, Markup("</section>")])


def _listed(items: Sequence[Markup]) -> Markup:
    """A list whose first entries stand open."""
    first = Markup("<ul>{}</ul>").format(Markup("").join(items[:SHOWN]))
    rest = items[SHOWN:]
    if not rest:
        return first
    more = Markup("<details><summary>{} more</summary><ul>{}</ul></details>")
    return first + more.format(len(rest), Markup("").join(rest))


def _shown(section: Chapter, picture: Picture) -> Markup:
    """A drawing once more, by reference: the page grows by nothing."""
    width, height = picture.view_box.split()[2:]
    template = Markup(
        '<figure class="key"><svg role="img" aria-label="{}" viewBox="{}">'
        '<use href="#{}" width="{}" height="{}"/></svg>'
        '<figcaption><a href="#{}">{}</a>: {}</figcaption></figure>'
    )
    words = Markup(picture.words)  # noqa: S704 - escaped where the figure was added
    where = (section.anchor, section.title)
    return template.format(words, picture.view_box, picture.anchor, width, height, *where, words)
