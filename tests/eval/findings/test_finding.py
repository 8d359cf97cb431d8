"""Findings files are read strictly, keep their digits, and know whether their code is today's."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from eval.code_identity import code_identity
from eval.errors import UserError
from eval.findings.finding import Code, Measured, is_current, read_finding, read_topics

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "findings"
TEXT = """{"title": "A", "question": "Is it?", "code": {"commit": "eb6fbc2"}, "machine": "two cores",
 "date": "2026-11-25",
 "tables": [{"title": "T", "columns": ["layer", "alpha"], "rows": [[0, {"value": 0.80, "low": 0.7, "high": 0.9}]]}]}"""


def test_every_file_of_the_project_is_valid():
    topics = read_topics(FOLDER)
    assert len(topics) >= 11
    assert all(finding.tables and finding.code.commit for topic in topics for finding in topic.findings)


def test_figures_of_findings_exist():
    figures = [figure for topic in read_topics(FOLDER) for it in topic.findings for figure in it.figures]
    assert [figure.path for figure in figures if not (FOLDER.parents[1] / figure.path).is_file()] == []


def test_numbers_keep_their_digits(tmp_path):
    (tmp_path / "a.json").write_text(TEXT)
    cell = read_finding(tmp_path / "a.json").tables[0].rows[0][1]
    assert isinstance(cell, Measured) and str(cell.value) == "0.80" and cell.high == Decimal("0.9") and cell.n is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"title": "A"', '"titel": "A"', r"a\.json: expected a key of a finding, got 'titel'; did you mean title\?"),
        ('"title": "A", ', "", r"a\.json: expected the key 'title', found none; add it"),
        ('"title": "A"', '"title": 1', r"a\.json: title: expected str, got 1; see eval/findings/finding\.py"),
        ('"value": 0.80', '"value": "0.80"', r"rows.*value: expected Number, got '0\.80'"),
        ('"value": 0.80', '"value": true', r"value: expected Number, got True"),
        ('"value": 0.80', '"value": NaN', r"expected numbers in .*a\.json, got NaN; write null"),
        ("[[0, ", "[[0, 1, ", r"tables\[0\]: expected 2 cells, got 3 in row 0; one for each column"),
        ("]}]}", "]}", r"expected JSON in .*a\.json, got .*; mend that line"),
    ],
)
def test_a_wrong_file_is_refused_by_key(tmp_path, old, new, message):
    assert old in TEXT
    (tmp_path / "a.json").write_text(TEXT.replace(old, new))
    with pytest.raises(UserError, match=message):
        read_finding(tmp_path / "a.json")


def test_a_folder_that_is_not_listed_and_a_topic_without_findings_are_refused(tmp_path):
    (tmp_path / "spectra").mkdir()
    (tmp_path / "spectra" / "a.json").write_text(TEXT)
    (tmp_path / "topics.json").write_text("{}")
    with pytest.raises(UserError, match=r"every folder of findings in topics\.json, got 'spectra' beside it; list it"):
        read_topics(tmp_path)
    topic = {"title": "T", "about": "A"}
    (tmp_path / "topics.json").write_text(json.dumps({"spectra": topic, "other": topic}))
    with pytest.raises(UserError, match=r"expected findings in .*other, got none; add a file"):
        read_topics(tmp_path)


def test_stale_is_read_off_the_code():
    modules = ("eval.measures.spectra.power_law",)
    assert is_current(Code("eb6fbc2", modules, code_identity(modules))) is True
    assert is_current(Code("eb6fbc2", modules, "0" * 16)) is False
    assert is_current(Code("eb6fbc2", ("eval.gone",), "0" * 16)) is False
    assert is_current(Code("eb6fbc2", modules)) is None
