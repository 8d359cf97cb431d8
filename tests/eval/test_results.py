"""Typed results: JSON, table, frame, file and repr from one declaration."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import UserError
from eval.result_json import measured, noted
from eval.result_schemas import schema_of
from eval.results import Result, load_result, result
from eval.scores import Score


@result
class Row(Result):
    """One site."""

    site: str
    alpha: Score
    corrected: Score = measured(key="alpha_corrected", ci="corrected_ci", n=None)
    counts: Mapping[int, int] = noted(key="by_layer")
    beside: Score | None = noted(None, when_set=True)


@result
class Table(Result):
    """Several."""

    table = "rows_"
    columns = ("site", "alpha", "alpha_ci")
    rows_: tuple[Row, ...] = noted(key="sites")
    values: Mapping[str, np.ndarray]


def a_row(site: str = "resid_post@0", value: float = -1.0) -> Row:
    return Row(site, Score(value, -1.2, -0.8, 30), Score.undefined("too few documents", 4), {0: 3})


def a_table(count: int = 2) -> Table:
    return Table(tuple(a_row(f"resid_post@{i}") for i in range(count)), {"a": np.arange(3.0)})


def test_json_has_the_documented_keys():
    assert a_row().to_json() == {
        "site": "resid_post@0",
        "alpha": -1.0,
        "alpha_ci": [-1.2, -0.8],
        "alpha_n": 30,
        "alpha_corrected": None,
        "corrected_ci": None,
        "alpha_corrected_reason": "too few documents",
        "by_layer": {"0": 3},
    }
    assert list(a_table().to_json()) == ["sites", "values"]


def test_saved_and_loaded_is_equal(tmp_path, monkeypatch):
    monkeypatch.setattr("eval.results.PACKAGES", ("eval", "tests"))
    found = Table((Row("a", Score(1.0, 0.5, 1.5), Score(2.0), {1: 2}, Score(3.0)),), {"a": np.arange(3.0)})
    assert load_result(found.save(tmp_path / "found.json")) == found
    assert found != a_table()


@given(value=st.floats(allow_nan=False, allow_infinity=False), n=st.none() | st.integers(0, 10**9))
def test_scores_survive_json_exactly(value, n):
    row = Row("a", Score(value, value, value, n), Score(value), {})
    assert Row.from_json(json.loads(json.dumps(row.to_json()))).alpha.value == value


def test_at_a_prompt_it_is_a_few_lines():
    text = repr(a_table(40))
    assert text.count("\n") <= 12 and "40 rows" in text and "... 32 more" in text
    assert len(repr(a_row())) < 300
    assert "<script>" not in Table((a_row("<script>"),), {})._repr_html_()


def test_frame_and_csv_have_the_rows():
    frame = a_table().to_frame()
    assert list(frame["site"]) == ["resid_post@0", "resid_post@1"] and frame["alpha_n"].tolist() == [30, 30]
    assert a_table().to_csv().splitlines()[1].startswith("resid_post@0,-1.0")


@result
class Fit(Result):
    """A value as measured and, where there is one, its corrected value with the interval of both."""

    alpha: Score = measured(ci=None, n=None)
    corrected: Score | None = measured(None, key="alpha_corrected", ci="alpha_ci", when_set=True)


def test_an_interval_may_be_left_out_or_belong_to_another_key():
    plain, whole = Fit(Score(-1.0)), Fit(Score(-1.0), Score(-1.1, -1.2, -1.0))
    assert plain.to_json() == {"alpha": -1.0} and Fit.from_json(plain.to_json()).corrected is None
    assert whole.to_json() == {"alpha": -1.0, "alpha_corrected": -1.1, "alpha_ci": [-1.2, -1.0]}
    assert Fit.from_json(whole.to_json()) == whole and "alpha_ci" in schema_of(Fit)["properties"]


def test_schema_names_every_key():
    schema = schema_of(Row)
    assert set(a_row().to_json()) <= set(schema["properties"]) and "beside" not in schema["required"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a saved result at"),
        ("null", "expected a saved result at"),
        ('{"result": "os:system"}', "expected a result of this suite in"),
        ('{"result": "eval.scores:Score"}', "expected a result of this suite in"),
    ],
)
def test_other_files_are_one_line(tmp_path, text, words):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        load_result(path)
    with pytest.raises(UserError, match="expected a saved result"):
        load_result(tmp_path / "none.json")


def test_no_picture_is_one_line():
    with pytest.raises(UserError, match="Row has none; use to_frame"):
        a_row().plot()
