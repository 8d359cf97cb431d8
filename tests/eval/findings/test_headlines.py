"""The lines of a front page quote cells of the findings, and a cell that is not there is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.findings.finding import read_topics
from eval.findings.headlines import BEGIN, END, headline_lines, read_headlines, relative_link, with_headlines
from eval.findings.page import front_pages

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "findings"
TOPICS = read_topics(FOLDER)
HEADLINES = read_headlines(FOLDER).headlines


def test_front_pages_and_data_agree():
    found = front_pages(FOLDER, TOPICS)
    assert tuple(found) == read_headlines(FOLDER).pages  # each is there
    for name, text in found.items():
        assert (FOLDER.parents[1] / name).read_text(encoding="utf-8") == text, "run `make findings`"


def test_a_line_holds_the_verdict_the_number_and_the_link():
    line = headline_lines([HEADLINES[3]], TOPICS, "docs/findings")[0]
    assert line.startswith("- **holds, and so does its control**: a sparse feature-to-feature connector")
    assert "0.271 [0.26, 0.289]" in line and "0.0855 [0.084, 0.0881]" in line
    assert line.endswith("](docs/findings/dictionaries-and-connectors.md#statements-of-the-feature-connector-post)")


def test_failed_statements_are_shown_too():
    assert {line.split("**")[1] for line in headline_lines(HEADLINES, TOPICS, ".")} >= {"holds", "fails"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("finding", "spectra/smolm2", "unknown finding of a headline 'spectra/smolm2'"),
        ("table", "Statments", "unknown table of spectra/smollm2 'Statments'"),
        ("row", "alpha", "expected a row with 'alpha' in table 'Statement' of spectra/smollm2, found none"),
        ("verdict", "verdicts", "unknown column of spectra/smollm2 'verdicts'"),
        ("numbers", ("value",), "unknown column of spectra/smollm2 'value'"),
    ],
)
def test_a_cell_that_is_not_there_is_named(field, value, message):
    wrong = dataclasses.replace(HEADLINES[0], **{field: value})
    with pytest.raises(UserError) as caught:
        headline_lines([wrong], TOPICS, ".")
    assert str(caught.value).startswith(message)


def test_a_page_without_marks_is_refused():
    with pytest.raises(UserError, match=r"expected the marks .* in index\.md, found none"):
        with_headlines("# A page", ["- line"], "index.md")


def test_only_what_stands_between_the_marks_changes():
    page = f"a\n{BEGIN}\nold\n{END}\nb\n"
    assert with_headlines(page, ["- new"], "page") == f"a\n{BEGIN}\n\n- new\n\n{END}\nb\n"


def test_links_start_from_the_page():
    assert relative_link("README.md") == "docs/findings"
    assert relative_link("docs/index.md") == "findings"
    assert relative_link("docs/how-to/offline.md") == "../findings"
