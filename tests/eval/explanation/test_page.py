"""The page shows every unit and runs nothing of what it shows; NeuronRecord files survive a round trip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.comparison.statistics import by_layer
from eval.explanation.evaluate import Settings, rules_only
from eval.explanation.interchange.neuron_record import read_neuron_record, write_neuron_records
from eval.explanation.page import add_units, depth_figure, level_string
from eval.explanation.tokens import visible
from eval.explanation.units import Unit
from eval.explanation.windows import Windows
from eval.report.page import Page
from eval.runs import Run
from eval.scores import Score
from tests.browser import SCHEMES, barriers_of, opened_browser
from tests.eval.explanation.planted import fires_on, make_book, make_windows

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"


def hostile_results():
    plain = make_windows(30, 3)
    strings = {**plain.strings, 5: HOSTILE, 6: "\t\n"}
    windows = Windows(plain.tokens, plain.keep, plain.document, plain.split, strings)
    book = make_book(windows, {Unit("neuron", 0, 0): fires_on(5, 6), Unit("neuron", 1, 1): fires_on(5)}, n_random=9)
    return book, rules_only(book, Settings(n_resamples=20))


def test_level_strings_mark_missing_predictions() -> None:
    assert level_string(np.array([0.0, 3.7, 10.0, 12.0, -1.0, np.nan])) == "03aa0-"


def test_tokens_are_shown_without_raw_control_signs() -> None:
    assert visible("\t\n\x00") == "\\t\\n\\u0000" and visible(" war") == " war" and visible("") == "\\0"


def test_a_hostile_token_stays_inside_the_data(tmp_path: Path) -> None:
    _, results = hostile_results()
    page = Page("units")
    add_units(page, results)
    html = page.html()
    assert "<img src=x" not in html and "</script><script>document" not in html
    data = json.loads(html.split('id="explained-units">')[1].split("</script>")[0])
    assert HOSTILE in {token for tokens in data["windows"].values() for token in tokens}
    assert len(data["units"]) == 2 and data["units"][0]["score"] > 0.8


@pytest.mark.slow
def test_a_hostile_token_does_not_run_in_a_browser(tmp_path: Path) -> None:
    _, results = hostile_results()
    page = Page("units")
    add_units(page, results)
    path = tmp_path / "page.html"
    path.write_text(page.html(), encoding="utf-8")
    with opened_browser() as browser:
        tab = browser.new_page()
        failures: list[str] = []
        tab.on("pageerror", lambda error: failures.append(str(error)))
        tab.goto(path.as_uri())
        for summary in tab.query_selector_all("details.unit > summary"):
            summary.click()
        tab.wait_for_timeout(200)
        assert tab.title() == "units" and not failures
        assert HOSTILE in tab.inner_text("#explained-units-list")
        assert tab.query_selector_all("#explained-units-list img") == []


def test_nothing_on_the_page_of_units_keeps_a_reader_out(tmp_path: Path) -> None:
    _, results = hostile_results()
    page = Page("units")
    add_units(page, results)
    (tmp_path / "page.html").write_text(page.html(), encoding="utf-8")
    with opened_browser() as browser:
        tab = browser.new_page()
        tab.goto((tmp_path / "page.html").as_uri())
        address = tab.locator("details.unit").last.get_attribute("id")
        tab.goto((tmp_path / "page.html").as_uri() + f"#{address}")
        assert tab.locator("details[open].unit").get_attribute("id") == address  # a link to a unit opens it
        assert barriers_of(browser, tmp_path / "page.html") == dict.fromkeys(SCHEMES, [])


def test_the_figure_is_written_with_undefined_points_marked(tmp_path: Path) -> None:
    _, results = hostile_results()
    rows = by_layer(results, lambda result: result.primary)
    rows.append(replace(rows[0], layer=2, mean=Score.undefined("silent", 0), undefined=1))
    saved = depth_figure(Run(tmp_path), rows)
    assert "undefined" in saved.markup and all(path.exists() for path in saved.paths)


def test_neuron_records_round_trip(tmp_path: Path) -> None:
    book, results = hostile_results()
    write_neuron_records(Run(tmp_path), book, [result.explanation.text for result in results])
    read = read_neuron_record(tmp_path / "records" / "neuron_L1_1.json")
    assert (read.layer, read.index) == (1, 1)
    original = book.top(1, "score")
    assert [record.tokens for record in read.top] == [record.tokens for record in original]
    np.testing.assert_allclose(read.top[0].values, original[0].values)
    values = np.concatenate([record.values for record in book.random(1, "score")])
    assert read.moments["variance"] == pytest.approx(values.var())


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(UserError, match="expected an OpenAI NeuronRecord JSON file at .*x.json"):
        read_neuron_record(path)
    entry = {"tokens": ["a", "b"], "activations": [1.0]}
    path.write_text(json.dumps({"neuron_id": {"layer_index": 0, "neuron_index": 1}, "random_sample": [entry]}))
    with pytest.raises(UserError, match="got 1 for 2 in record 0"):
        read_neuron_record(path)
