"""What was chosen after seeing results stands on a page of its own, with its finding, and in its finding's section."""

from __future__ import annotations

from eval.findings.finding import Code, Finding, Topic
from eval.findings.page import CHOICES, choices_page, finding_lines, index_page, pages


def finding(name: str, *choices: str) -> Finding:
    return Finding(name, f"Title of {name}", "What is it?", Code("abc"), "a machine", "2026-11-29", choices=choices)


def test_choices_of_all_topics_stand_together() -> None:
    topics = [
        Topic("one", "One", "About one.", (finding("a", "the bar was .5, then .8"), finding("b"))),
        Topic("two", "Two", "About two.", (finding("c", "the seed was changed", "a run was dropped"),)),
    ]
    text = choices_page(topics)
    assert text.count("\n- ") == 3 and "[Title of b]" not in text
    assert "- [Title of a](one.md#title-of-a): the bar was .5, then .8" in text
    assert pages(topics)[CHOICES] == text and f"]({CHOICES})" in index_page(topics)


def test_a_finding_shows_its_own() -> None:
    lines = "\n".join(finding_lines(finding("a", "the bar was .5, then .8")))
    assert "Chosen after seeing results:" in lines and "the bar was .5, then .8" in lines
    assert "Chosen after" not in "\n".join(finding_lines(finding("b")))
