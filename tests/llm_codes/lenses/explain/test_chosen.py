"""Units one by one: read as asked, refused where they do not fit, one row each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.configs.inputs import InputsOptions
from llm_codes.inputs import open_inputs
from llm_codes.lenses.explain import chosen as units
from llm_codes.lenses.explain.recording import record
from llm_codes.lenses.explain.study import explain


@pytest.fixture(scope="module")
def inputs(tiny_model_folder: Path, text_folder: Path):
    return open_inputs(InputsOptions(model=str(tiny_model_folder), corpus=str(text_folder)))


def test_named_units_are_rows_with_their_controls(inputs) -> None:
    corpus = inputs.windows(33, n_tokens=9000)
    width = inputs.model.d_mlp
    asked = [
        "neuron:1:5",
        units.neuron(3, layer=0),
        units.direction(np.eye(width)[2], site="mlp_post", layer=1, name="probe"),
        units.function(lambda x: x[..., :4].amax(-1), site="mlp_post", layer=1, name="max of four"),
    ]
    found = explain(inputs.model, corpus, asked, scorers=(), resamples=20)
    frame = found.to_frame()
    assert set(frame["unit"]) == {"neuron/L1/5", "neuron/L0/3", "direction:probe/L1/0", "function:max of four/L1/0"}
    assert {"score", "score_ci", "shuffled", "untrained", "explanation"} <= set(frame.columns)
    assert "32 tokens" in found.setting and len(found.by_layer) == 3 * 4


def test_a_direction_reads_what_its_vector_says(inputs) -> None:
    corpus = inputs.windows(33, n_tokens=9000)
    width = inputs.model.d_mlp
    asked = [
        units.neuron(3, layer=1),
        units.function(lambda x: x[..., 3], site="mlp_post", layer=1, name="same"),
        units.direction(torch.randn(width), site="mlp_post", layer=1, name="a"),
        units.direction(torch.randn(width), site="mlp_post", layer=1, name="a"),
    ]
    book = record(inputs.model, corpus, units=(), chosen=asked, controls=()).books["trained"]
    values = book.shared_values("score")
    np.testing.assert_array_equal(values[..., 0], values[..., 1])
    names = [unit.name for unit in book.units]
    assert names[2:] == ["direction:a/L1/0", "direction:a/L1/1"]
    assert book.units[2].content != book.units[3].content


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (units.neuron(10**6, layer=1), "expected a neuron in 0.."),
        (units.direction([1.0, 2.0], site="mlp_post", layer=1, name="short"), "for 'short' at mlp_post@1, got shape"),
        (units.function(lambda x: x, site="mlp_post", layer=1, name="wide"), "reduce the last axis"),
    ],
)
def test_units_that_do_not_fit_are_refused(inputs, unit, message: str) -> None:
    with pytest.raises(UserError, match=message):
        record(inputs.model, inputs.windows(33, n_tokens=9000), units=(), chosen=[unit], controls=())


def test_a_unit_named_twice_is_refused(inputs) -> None:
    with pytest.raises(UserError, match="neuron/L1/3 stands twice"):
        twice = [units.neuron(3, layer=1), "neuron:1:3"]
        explain(inputs.model, inputs.windows(33, n_tokens=9000), twice, controls=())
