"""Neuronpedia's files go out and come back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.interchange.neuronpedia import (
    activation_of,
    explanation_of,
    read_activations,
    read_explanations,
    rows_text,
    source_name,
)
from eval.explanation.records import Record
from eval.explanation.units import Unit

NEURON, FEATURE = Unit("neuron", 3, 117), Unit("sae", 5, 16, source="runs/sae")


def test_explanations_and_activations_go_out_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "explanations.json"
    path.write_text(rows_text([explanation_of("gpt2-small", NEURON, "years", "decision-list")]))
    (found,) = read_explanations(path)
    assert (found.model, found.layer, found.index, found.description) == ("gpt2-small", "3-mlp", 117, "years")
    assert found.explained_by == "decision-list" and source_name(FEATURE) == "5-runs_sae"
    record = Record((" the", " year"), (1, 2), np.array([0.0, 2.5]), 7, 0)
    path.write_text(rows_text([activation_of("gpt2-small", FEATURE, record)]))
    row = json.loads(path.read_text())[0]
    assert (row["maxValue"], row["maxValueTokenIndex"], row["minValue"]) == (2.5, 1, 0.0)
    (back,) = read_activations(path)
    assert back.record().tokens == record.tokens and back.record().values.tolist() == [0.0, 2.5]


def test_a_download_with_more_keys_one_object_a_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    row = {"modelId": "m", "layer": "0-res", "index": "4", "description": "x", "id": "abc", "embedding": [1]}
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    assert [one.index for one in read_explanations(path)] == [4, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{nonsense", "expected JSON in .*is it a Neuronpedia"),
        ("[1]", "expected a list of objects"),
        ('[{"layer": "0-mlp"}]', "expected the key modelId in .*, got layer"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_explanations(tmp_path / "x.json")


def test_values_and_tokens_must_match(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"modelId": "m", "layer": "0-mlp", "index": 1, "tokens": ["a", "b"], "values": [1]}]')
    with pytest.raises(UserError, match="expected one value per token in .*, got 1 for 2 in row 0"):
        read_activations(path)
    path.write_text('[{"modelId": "m", "layer": "0-mlp", "index": 1}]')
    with pytest.raises(UserError, match="expected tokens and values in row 0"):
        read_activations(path)
