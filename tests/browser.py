"""A page in a real browser, and what axe finds on it that would keep a reader out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
SERIOUS = ("serious", "critical")
SCHEMES = ("light", "dark")


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Chromium; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def barriers(page: Any) -> list[str]:
    """What keeps a reader out of the page as it stands: rule and element of every serious violation that axe finds."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {node['target']} {node['html'][:120]}"
        for violation in found
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


def barriers_of(browser: Any, path: Path) -> dict[str, list[str]]:
    """Those of a page with everything that opens opened, by colour scheme."""
    found = {}
    for scheme in SCHEMES:
        page = browser.new_page(color_scheme=scheme)
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
        page.wait_for_timeout(200)
        found[scheme] = barriers(page)
        page.close()
    return found
