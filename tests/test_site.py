"""The built documentation: every link leads somewhere, nothing is loaded from outside. Run by `make docs`."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).resolve().parent.parent / "site"
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href"}
pytestmark = pytest.mark.site


class Reader(HTMLParser):
    """The links, loaded files and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get("rel") != "canonical" and LOADED.get(tag) in given:
            self.loaded.append(given[LOADED[tag]])


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module")
def pages() -> dict[Path, Reader]:
    found = {path: read(path) for path in sorted(SITE.rglob("*.html")) if path.name != "404.html"}
    assert len(found) > 30, "run `make docs`"
    return found


def test_every_link_leads_somewhere(pages):
    missing = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                missing.append(f"{path.relative_to(SITE)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                missing.append(f"{path.relative_to(SITE)}: {link}")
    assert missing == []


def test_nothing_is_loaded_from_outside(pages):
    outside = {
        f"{path.relative_to(SITE)}: {name}"
        for path, page in pages.items()
        for name in page.loaded
        if name.startswith(("http:", "https:", "//"))
    }
    assert outside == set()
    for sheet in SITE.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_every_picture_has_words(pages):
    """Alternative texts stand in the Markdown; an empty one is a picture that nobody can name."""
    for path in SITE.rglob("*.html"):
        for tag in re.findall(r"<img[^>]*>", path.read_text(encoding="utf-8")):
            assert re.search(r'alt="[^"]+"', tag), f"{path.name}: {tag}"
