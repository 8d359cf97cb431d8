"""Explainers and simulators of one's own: by name, from a file, and what happens where they fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation import registry
from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.registry import (
    EXPLAINERS,
    FunctionExplainer,
    FunctionSimulator,
    register_explainer,
    register_simulator,
    registered,
)
from eval.explanation.units import NamedUnit, Unit, parse_units
from tests.eval.explanation.planted import fires_on, make_book, make_windows

FAST = Settings(n_resamples=20)


@pytest.fixture
def book(monkeypatch):
    monkeypatch.setattr(registry, "EXPLAINERS", EXPLAINERS)
    return make_book(make_windows(), {Unit("neuron", 0, i): fires_on(i) for i in range(3)})


def strongest(records) -> str:
    return records[0].tokens[int(np.argmax(records[0].values))]


def contains(explanation: str, windows: list[list[str]]) -> list[list[float]]:
    return [[10.0 * (token in explanation) for token in window] for window in windows]


def test_functions_explain_and_simulate(book) -> None:
    register_explainer("strongest")(strongest)
    register_simulator("contains")(contains)
    results = explain_and_score(book, FunctionExplainer("strongest"), FunctionSimulator("contains"), settings=FAST)
    assert min(result.primary.value for result in results) > 0.9
    assert results[0].explanation.text == " w0" and results[0].lengths == ()


def test_what_a_function_raises_is_a_reason_and_never_a_number(book) -> None:
    def broken(*arguments):
        raise ZeroDivisionError("oh")

    register_explainer("broken")(broken)
    register_simulator("broken")(broken)
    register_simulator("contains")(contains)
    register_explainer("strongest")(strongest)
    (first, *_) = explain_and_score(book, FunctionExplainer("broken"), FunctionSimulator("contains"), settings=FAST)
    assert first.primary.reason == "explainer broken raised ZeroDivisionError: oh" and first.missing > 0
    (first, *_) = explain_and_score(book, FunctionExplainer("strongest"), FunctionSimulator("broken"), settings=FAST)
    assert first.primary.reason == "no token has a prediction" and first.coverage == 0
    assert "simulator broken raised ZeroDivisionError: oh" in first.notes


def test_a_simulator_of_the_wrong_shape_is_refused(book) -> None:
    register_explainer("strongest")(strongest)
    register_simulator("short")(lambda explanation, windows: [[1.0]])
    with pytest.raises(UserError, match="expected simulator short to give one number for every token"):
        explain_and_score(book, FunctionExplainer("strongest"), FunctionSimulator("short"), settings=FAST)


def test_a_file_brings_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from eval.explanation.registry import register_explainer\n"
        "@register_explainer('mine')\ndef mine(records):\n    return 'x'\n"
    )
    assert registered("mine.py:mine", EXPLAINERS, "--explainer") == "mine"
    assert registered("mine:mine", EXPLAINERS, "--explainer") == "mine"
    assert registered("openai:m", EXPLAINERS, "--explainer") is None
    with pytest.raises(UserError, match="expected mine.py to register 'mien'.*did you mean mine"):
        registered("mine.py:mien", EXPLAINERS, "--explainer")
    with pytest.raises(UserError, match="expected a name without a colon"):
        register_explainer("a:b")


def test_units_by_name_and_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "units.txt"
    path.write_text("neuron:3:117  # mine\n\nsae:DIR:16\n")
    assert parse_units((str(path), "random")) == (
        [("random", "")],
        [NamedUnit("neuron", 117, layer=3), NamedUnit("sae", 16, source="DIR")],
    )
    assert parse_units(("neuron:0:1",)) == ([], [NamedUnit("neuron", 1)])
    with pytest.raises(UserError, match="'neuron:0:1' stands twice"):
        parse_units(("neuron:0:1", "neuron:0:1"))
    with pytest.raises(UserError, match="expected neuron:LAYER:INDEX or sae:DIR:INDEX, got 'pca:1:2'"):
        parse_units(("pca:1:2",))
    with pytest.raises(UserError, match="or neuron:LAYER:INDEX for one of them"):
        parse_units(("neuron:17",))
