"""NeuronRecord files hold what the published readers know, and no two units share one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from eval.explanation.interchange.neuron_record import file_names, write_neuron_records
from eval.explanation.units import Unit
from eval.runs import Run
from tests.eval.explanation.planted import fires_on, make_book, make_windows

KNOWN = {
    "dataclass_name",
    "neuron_id",
    "random_sample",
    "random_sample_by_quantile",
    "quantile_boundaries",
    "mean",
    "variance",
    "skewness",
    "kurtosis",
    "most_positive_activation_records",
}
"""Fields of NeuronRecord in `automated-interpretability` 0.0.24; another key is a TypeError in its reader."""


def written(tmp_path: Path) -> list[Path]:
    units = {Unit("sae", 3, 16, "hook", source): fires_on(5) for source in ("A/b", "A_b")}
    book = make_book(make_windows(30, 3), units, n_random=9)
    write_neuron_records(Run(tmp_path), book, ["words", None])
    return sorted(path for path in (tmp_path / "records").iterdir() if path.name != "index.json")


def test_every_file_holds_known_keys_only_and_the_index_the_rest(tmp_path: Path) -> None:
    paths = written(tmp_path)
    assert len(paths) == 2
    for path in paths:
        data = json.loads(path.read_text())
        assert data.keys() == KNOWN
        assert data["random_sample"][0].keys() == {"dataclass_name", "tokens", "activations"}
    index = json.loads((tmp_path / "records" / "index.json").read_text())
    assert [entry["unit"] for entry in index] == ["sae:A/b/L3/16", "sae:A_b/L3/16"]
    assert [entry["explanation"] for entry in index] == ["words", None]
    assert {entry["file"] for entry in index} == {path.name for path in paths}


def test_the_published_reader_opens_them(tmp_path: Path) -> None:
    reader = pytest.importorskip("neuron_explainer.fast_dataclasses")
    activations = pytest.importorskip("neuron_explainer.activations.activations")
    for path in written(tmp_path):
        record = reader.loads(path.read_bytes())
        assert isinstance(record, activations.NeuronRecord) and record.neuron_id.layer_index == 3
        assert {field.name for field in dataclasses.fields(record)} == KNOWN
        assert len(record.random_sample) == 9 and record.max_activation > 0


def test_file_names_are_told_apart() -> None:
    assert file_names(["a/b", "a_b", "A_B", "c"]) == ["a_b", "a_b~2", "A_B~3", "c"]
