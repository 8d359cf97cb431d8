"""The README and the pages of docs: scripts run as printed and print what is printed, links lead somewhere.

A script behind a `<!-- not run: reason -->` line says why it is not run. A `text` block right behind a script is what
the script prints.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eval.findings.headlines import BEGIN, END
from tests import scripts
from tests.reference_pages import pages

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": README} | {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if "findings" not in path.parts
}
SCRIPT = re.compile(r"(<!-- not run: [^\n]+ -->\n)?```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
SCRIPTS = [
    pytest.param(script, printed, id=f"{page}-{number}")
    for page, text in PAGES.items()
    for number, (skipped, script, printed) in enumerate(SCRIPT.findall(text))
    if not skipped
]
WRITTEN = {ROOT / "docs" / name for name in pages()}
"""Pages that are written while the site is built."""
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def test_the_readme_names_the_two_commands():
    assert "make report" in README and "make test" in README
    assert len(SCRIPTS) >= 9


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize(("script", "printed"), SCRIPTS)
def test_script_runs_as_printed(script, printed, tmp_path):
    first = script == SCRIPTS[0].values[0]  # the README's own, as on a machine that has imported nothing
    out = (scripts.run_afresh if first else scripts.run)(script, tmp_path)
    assert out.returncode == 0, script + out.stderr[-2000:]
    assert out.stdout.strip()
    if printed:
        assert [line.split() for line in out.stdout.splitlines()] == [line.split() for line in printed.splitlines()]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_figures_lead_somewhere(page):
    text = PAGES.get(page) or (ROOT / page).read_text(encoding="utf-8")
    folder = (ROOT / page).parent
    missing = []
    for target, fragment in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        assert not target.startswith("http"), f"{page} links outside: {target}"
        path = folder / target if target else ROOT / page
        if path.resolve() in WRITTEN:
            continue
        if not path.exists():
            missing.append(target)
        elif fragment and path.suffix == ".md" and fragment[1:] not in anchors(path):
            missing.append(target + fragment)
    assert missing == []


def anchors(page: Path) -> set[str]:
    """The fragments of a page: its headings, and the anchors it sets itself."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    names = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return names | set(re.findall(r'<a id="([^"]+)"></a>', text))


def test_the_readme_holds_no_result_of_its_own():
    """Numbers with decimals: those written from the findings, those a script prints, and versions."""
    before, _, rest = README.partition(BEGIN)
    own = re.sub(r"```.*?```", "", before + rest.partition(END)[2], flags=re.DOTALL)
    assert re.findall(r"-?\d*\.\d+", re.sub(r"Python 3\.11", "", own)) == []
