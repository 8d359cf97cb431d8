"""The page in a browser: tables sort, filter and download; dark by the reader's setting; nothing is lost on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.report.figures import figure, save_figure
from eval.report.page import Page
from eval.runs import Run
from tests.browser import SCHEMES, barriers, barriers_of, opened_browser

ROWS = [
    {"claim": f"statement {i}", "measured": value, "verdict": verdict}
    for i, (value, verdict) in enumerate([(10.0, "holds"), (-2.5, "fails"), (3.0, "cannot tell")] * 4)
]
WIDE = [{f"column number {i}": f"words that are long {i}" for i in range(14)}] * 3


@pytest.fixture
def html(tmp_path) -> str:
    page = Page("A page", "of everything")
    section = page.section("Claims").table(ROWS, caption="every claim").warning("Few tokens.")
    fig, axis = figure()
    axis.plot([1, 2], [3, 4])
    section.figure(save_figure(Run(tmp_path / "run"), fig, "f", 'alpha "by" depth'))
    page.section("Wide").table(WIDE, caption="a wide table").details("closed", page.sections[0].blocks[0])
    return page.html({"command": "x"})


@pytest.fixture
def browser():
    with opened_browser() as opened:
        yield opened


def test_tables_sort_filter_and_download(html, browser, tmp_path):
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    names = page.evaluate("[...document.querySelectorAll('[role=region]')].map(one => one.ariaLabel)")
    assert names == ["every claim", "a wide table", "every claim, 2"]
    column = "#claims td:nth-child(2)"
    page.click("#claims th:nth-child(2) button")
    assert page.locator(column).all_inner_texts() == ["-2.5"] * 4 + ["3"] * 4 + ["10"] * 4
    page.keyboard.press("Enter")  # the heading has the focus: the other way round
    assert page.locator(column).all_inner_texts()[0] == "10"
    assert page.get_attribute("#claims th:nth-child(2)", "aria-sort") == "descending"
    page.fill("#claims input[type=search]", "fails")
    assert page.locator("#claims tbody tr:visible").count() == 4
    with page.expect_download() as download:
        page.click("#claims .tools button:has-text('CSV')")
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "claim,measured,verdict" and len(lines) == 5 and lines[1].endswith(",-2.5,fails")
    with page.expect_download() as download:
        page.click("figure button:has-text('PNG')")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    assert problems == []


def test_the_page_follows_the_readers_colours_and_loses_no_column_on_paper(html, browser, tmp_path):
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": 760, "height": 900}, color_scheme="dark")
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0


def test_nothing_on_the_page_keeps_a_reader_out(html, browser, tmp_path):
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    assert barriers_of(browser, tmp_path / "page.html") == dict.fromkeys(SCHEMES, [])


def test_axe_sees_a_picture_without_a_name_and_a_control_without_one(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text('<html lang="en"><title>t</title><main><h1>t</h1><img src="data:,"><input><button></button></main>')
    page = browser.new_page()
    page.goto(path.as_uri())
    assert {found.split()[0] for found in barriers(page)} == {"image-alt", "label", "button-name"}


def test_the_summary_shows_every_verdict_and_every_doubt(html):
    summary = html[html.index('id="summary"') : html.index('id="claims"')]
    assert "Statements: holds 4, fails 4, cannot tell 4." in summary
    assert summary.count("<li>") == len(ROWS) + 1
    assert '<a href="#claims">Claims</a>: Few tokens.' in summary


def test_the_summary_shows_the_first_picture_by_reference(html):
    summary = html[html.index('id="summary"') : html.index('id="claims"')]
    assert '<use href="#claims-picture-1"' in summary and "<path" not in summary
    assert 'aria-label="alpha &#34;by&#34; depth"' in summary


def test_a_long_table_opens_on_demand_and_whole_on_paper(browser, tmp_path):
    page = Page("Long")
    page.section("s").table([{"cluster": f"r{i}", "value": float(i)} for i in range(60)], caption="long")
    (tmp_path / "page.html").write_text(page.html(), encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    rows = tab.locator("#s tbody tr:visible")
    assert rows.count() == 25
    with tab.expect_download() as download:
        tab.click(".tools button:has-text('CSV')")
    assert len(Path(download.value.path()).read_text(encoding="utf-8").splitlines()) == 61  # all of them
    tab.fill("#s input[type=search]", "r5")
    assert rows.count() == 11  # r5 and r50 to r59
    tab.fill("#s input[type=search]", "")
    assert rows.count() == 25
    tab.emulate_media(media="print")
    assert rows.count() == 60
    tab.emulate_media(media="screen")
    tab.focus(".tools button.more")
    tab.keyboard.press("Enter")
    assert rows.count() == 60 and tab.get_attribute(".tools button.more", "aria-expanded") == "true"
    tab.keyboard.press("Space")
    assert rows.count() == 25
    tab.evaluate("location.hash = '#s-cluster-r44'")  # a link to one opens the table
    tab.wait_for_function("document.querySelectorAll('table.folded').length === 0")
    assert tab.locator("#s-cluster-r44 a").get_attribute("href") == "#s-cluster-r44"


def test_a_statement_judged_at_several_lengths_is_told_apart_in_the_summary():
    page = Page("t")
    rows = [{"length": length, "claim": "rises", "verdict": "fails"} for length in ("1 word", "12 words")]
    page.section("s").table(rows)
    summary = page.html().split('id="summary"')[1].split("</section>")[0]
    assert "rises (1 word)" in summary and "rises (12 words)" in summary


def test_a_page_without_statements_has_no_summary():
    page = Page("t")
    page.section("s").text("words")
    assert 'id="summary"' not in page.html()


def test_pictures_and_scrolled_tables_are_named(html):
    assert '<svg id="claims-picture-1" role="img" aria-label="alpha &#34;by&#34; depth"' in html
    assert 'tabindex="0" role="region" aria-label="a wide table"' in html
