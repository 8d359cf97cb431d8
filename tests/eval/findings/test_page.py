"""The findings pages on disk are the rendering of the data, and a changed code is said on the page."""

from __future__ import annotations

import dataclasses
import re
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.code_identity import code_identity
from eval.findings.finding import Code, Measured, Table, Topic, read_topics
from eval.findings.page import CHANGE, SINCE, STATUS, UNKNOWN, anchor, cell_text, pages, table_lines, topic_page

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "findings"


def without_states(text: str) -> str:
    """A page without the words for its findings' states: those follow the code of the day, and stale is no failure."""
    for words in STATUS.values():
        text = text.replace(words, "STATE")
    return re.sub(rf"^(?:{CHANGE}|{SINCE})[^\n]*\n\n", "", text, flags=re.MULTILINE)


def disagreeing(folder: Path) -> list[str]:
    """Pages in `folder` that are not the rendering of the data in it, and pages without data."""
    rendered = pages(read_topics(folder))
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    names = sorted(rendered.keys() | on_disk.keys())
    return [name for name in names if without_states(rendered.get(name, "")) != without_states(on_disk.get(name, ""))]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "findings"))


def test_pages_and_data_agree():
    assert disagreeing(FOLDER) == [], "run `make findings`"


def test_changed_data_is_seen_and_rendering_mends_it(copied, capsys):
    path = copied / "trajectories" / "embedded.json"
    path.write_text(path.read_text().replace("0.475", "0.575"))
    assert disagreeing(copied) == ["trajectories.md"]
    assert main(["findings", "render", "--folder", str(copied)]) == 0
    assert disagreeing(copied) == []
    assert re.search(r"trajectories +embedded +", capsys.readouterr().out)


def test_a_page_without_data_is_seen(copied):
    (copied / "old.md").write_text("0.5 of everything")
    assert disagreeing(copied) == ["old.md"]


def test_every_number_of_a_page_stands_in_its_data():
    number = re.compile(r"\d+(?:\.\d+)?")
    for topic in read_topics(FOLDER):
        data = " ".join(path.read_text(encoding="utf-8") for path in (FOLDER / topic.name).glob("*.json"))
        known = set(number.findall(data.replace(",", ""))) | set(number.findall(topic.about + topic.title))
        missing = [found for found in number.findall(topic_page(topic).replace(",", "")) if found not in known]
        assert missing == [], topic.name


def test_a_stale_finding_is_marked_in_words():
    finding = next(topic for topic in read_topics(FOLDER) if topic.name == "trajectories").findings[0]
    modules = ("eval.measures.spectra.power_law",)
    for fingerprint, words in (
        (code_identity(modules), "State: current"),
        ("0" * 16, r"State: **stale**: the code that computed this has changed since."),
        ("", "State: measured at the commit named; the code has moved since."),
    ):
        code = Code("eb6fbc2", modules, fingerprint)
        page = topic_page(Topic("t", "T", "about", (dataclasses.replace(finding, code=code),)))
        assert words in page


def test_a_stale_finding_says_what_has_changed_and_what_that_means():
    finding = next(topic for topic in read_topics(FOLDER) if topic.name == "trajectories").findings[0]
    modules = ("eval.measures.spectra.power_law",)
    stale = Code("eb6fbc2", modules, "0" * 16)
    current = Code("eb6fbc2", modules, code_identity(modules))
    for code, shown in ((stale, True), (current, False)):
        one = dataclasses.replace(finding, code=code, since="only the units of its claims")
        page = topic_page(Topic("t", "T", "about", (one,)), {stale: "changed: `eval.claims`"})
        assert (f"{CHANGE}changed: `eval.claims`." in page) is shown
        assert (f"{SINCE}only the units of its claims" in page) is shown
        unsaid = topic_page(Topic("t", "T", "about", (dataclasses.replace(one, since=""),)))
        assert (f"{SINCE}{UNKNOWN}" in unsaid) is shown


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        ("holds", "holds"),
        (40172, "40,172"),
        (Decimal("0.80"), "0.80"),
        (Decimal("4.986e-8"), "4.986e-8"),
        (Measured(Decimal("-0.833"), Decimal("-0.847"), Decimal("-0.820"), 103), "-0.833 [-0.847, -0.820] (n 103)"),
        (Measured(Decimal("0.1"), p=Decimal("0.003")), "0.1 (p 0.003)"),
    ],
)
def test_a_cell_is_read_with_its_interval(cell, text):
    assert cell_text(cell) == text


def test_bars_inside_cells_are_escaped_and_anchors_are_those_of_github():
    assert table_lines(Table("T", ("a",), (("|x|",),)))[-2] == "| \\|x\\| |"
    assert anchor("Neurons against (random) projections, 5%") == "neurons-against-random-projections-5"
