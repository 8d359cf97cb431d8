"""A chapter that raises anything is reported on the page, with its reason, and the others go on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.claims import Claim
from eval.errors import LostFolderError, StoppedError, UserError
from eval.report.page import Page
from eval.runs import Run
from llm_codes import report
from llm_codes.__main__ import main


@pytest.fixture
def inputs(tmp_path) -> Any:
    """As much of a report's inputs as a chapter that fails needs."""
    return SimpleNamespace(run=Run(tmp_path), page=Page("demo"))


def failing(monkeypatch, error: Exception) -> None:
    def fail(inputs):
        raise error

    monkeypatch.setitem(report.WRITERS, "polytopes", fail)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("expected 50 tokens, got 3; give more"), "expected 50 tokens, got 3; give more"),
        (StoppedError("the budget of $2 is reached"), "the budget of $2 is reached"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_whatever_a_chapter_raises_is_on_the_page(inputs, monkeypatch, error, reason):
    failing(monkeypatch, error)
    results, status = report.write_chapter("polytopes", inputs)
    assert results == {}
    assert (status["status"], status["reason"]) == ("failed", reason)
    assert f"This chapter could not be written: {reason}" in inputs.page.html()
    log = inputs.run.path("polytopes-error.log")
    assert log.exists() == isinstance(error, ZeroDivisionError), "a log for what nobody foresaw"


def test_a_lost_run_folder_is_not_a_failed_chapter(inputs, monkeypatch):
    failing(monkeypatch, LostFolderError("the run folder was removed"))
    with pytest.raises(LostFolderError):
        report.write_chapter("polytopes", inputs)


def test_the_page_starts_with_the_claims_of_all_chapters(
    tiny_model_folder: Path, text_folder: Path, tmp_path: Path, monkeypatch
):
    def written(report_):
        claim = Claim("a statement of the chapter", "MK", "above 0", 1.0, "holds", (0.5, 1.5)).to_json()
        return {"polytopes": {"claims": [claim]}}, report_.corpus

    monkeypatch.setitem(report.WRITERS, "polytopes", written)
    where = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--out", str(tmp_path / "run")]
    assert main(["report", *where, "--chapters", "polytopes", "--tokens", "500"]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.index("<h2>Statements and verdicts</h2>") < page.index("<h2>What was read</h2>")
    assert "<b>1</b> holds</span>" in page and "a statement of the chapter" in page
