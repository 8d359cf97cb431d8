"""The page: escapes everything, loads nothing, survives a hostile token; tables and figures."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from eval.report.figures import COLOURS, figure, interval_line, save_figure
from eval.report.page import Page, script_json
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from eval.scores import Score

HOSTILE = "</script><img src=x onerror=alert(1)><b>\u2028\"'&"


def page_of(text: str) -> str:
    page = Page(text, text)
    page.section(text, anchor="a").text(text).warning(text).table([{text: text, "n": 1.0}], caption=text)
    page.section("second").details(text, Markup("<i>{}</i>").format(text))
    page.embed("data", {"tokens": [text]})
    return page.html({"command": text})


def test_hostile_text_stays_text():
    html = page_of(HOSTILE)
    assert "<img src=x" not in html
    assert html.count("</script>") == 2  # the embedded data and the script of the tables end where they should


def test_embedded_data_round_trips():
    html = page_of(HOSTILE)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    assert json.loads(found.group(1)) == {"tokens": [HOSTILE]}


@given(st.text())
def test_script_json_never_holds_a_closing_tag(text):
    encoded = str(script_json({"x": text}))
    assert "<" not in encoded
    assert json.loads(encoded) == {"x": text}


def test_nothing_is_loaded_from_outside(tmp_path):
    fig, axis = figure()
    axis.plot([1, 2], [3, 4])
    page = Page("t")
    page.section("s").figure(save_figure(Run(tmp_path), fig, "f", "caption"))
    html = page.html()
    assert "default-src 'none'" in html
    outside = [url for url in re.findall(r'(?:src|href)\s*=\s*"([^"]+)"', html) if not url.startswith(("#", "data:"))]
    assert outside == []


def test_plain_strings_are_not_taken_for_markup():
    with pytest.raises(TypeError, match="expected markupsafe.Markup"):
        Page("t").section("s").markup("<b>")  # type: ignore[arg-type]


def test_a_figure_is_pdf_png_and_inline(tmp_path):
    fig, axis = figure()
    points = [Score(1.0, 0.5, 1.5), Score.undefined("too few documents"), Score(2.0)]
    interval_line(axis, [0, 1, 2], points, label="alpha", colour=COLOURS[0])
    axis.legend()
    saved = save_figure(Run(tmp_path), fig, "alpha", "caption")
    assert [path.suffix for path in saved.paths] == [".pdf", ".png"]
    assert saved.paths[0].read_bytes().startswith(b"%PDF")
    assert saved.paths[1].read_bytes().startswith(b"\x89PNG")
    assert saved.markup.startswith("<svg")
    assert "alpha: undefined" in saved.markup


def test_two_figures_share_no_ids(tmp_path):
    markups = []
    for name in ("one", "two"):
        fig, axis = figure()
        axis.plot([1, 2], [3, 4])
        markups.append(save_figure(Run(tmp_path), fig, name).markup)
    ids = [set(re.findall(r'\bid="([^"]+)"', markup)) for markup in markups]
    assert ids[0] and not ids[0] & ids[1]
    used = set(re.findall(r"url\(#([^)]+)\)", markups[0]))
    assert used <= ids[0]


def test_tables():
    rows = [
        {"site": "a", "alpha": -1.23456, "ci": [-1.5, -1.0]},
        {"site": "bb", "alpha": None, "reason": "few, documents"},
    ]
    text = text_table(rows)
    assert text.splitlines()[2].split() == ["a", "-1.23", "[-1.5,", "-1]", "-"]
    back = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert back[0]["alpha"] == "-1.23456"
    assert back[1]["alpha"] == "" and back[1]["reason"] == "few, documents"
    assert text_table([]) == ""
