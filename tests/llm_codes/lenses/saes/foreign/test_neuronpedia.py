"""A feature's JSON of Neuronpedia is one of our features; what is none is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.errors import UserError
from llm_codes.lenses.saes.foreign.neuronpedia import read_feature

WEAK = {"tokens": ["a", " cat", " sat"], "values": [0.0, 1.5, 0.0], "maxValue": 1.5, "maxValueTokenIndex": 1}
STRONG = {"tokens": [f"t{n}" for n in range(30)], "values": [0.0] * 20 + [4.25] + [0.0] * 9}
FEATURE: dict[str, Any] = {
    "modelId": "gpt2-small",
    "layer": "8-res-jb",
    "index": "55",
    "frac_nonzero": 0.0031,
    "maxActApprox": 4.3,
    "pos_str": [" cat", " dog"],
    "pos_values": [1.0, 0.9],
    "neg_str": ["the"],
    "neg_values": [-0.5],
    "freq_hist_data_bar_heights": [7, 3, 1],
    "freq_hist_data_bar_values": [0.1, 0.2, 0.3],
    "activations": [WEAK, STRONG],
    "explanations": [{"description": "pets", "explanationModelName": "gpt"}, {"description": None}],
}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_feature_is_read(tmp_path: Path, wrapped: bool) -> None:
    """wrapped: as the package's SAEFeature keeps it."""
    held = {"modelId": "gpt2-small", "source": "8-res-jb", "index": "55", "jsonData": json.dumps(FEATURE)}
    (tmp_path / "f.json").write_text(json.dumps(held if wrapped else FEATURE))
    found = read_feature(tmp_path / "f.json")
    assert (found.model, found.source, found.entry.feature) == ("gpt2-small", "8-res-jb", 55)
    assert (
        found.explanations == ("pets",) and found.entry.promotes == (" cat", " dog") and found.entry.demotes == ("the",)
    )
    strongest = found.entry.contexts[0]
    assert (strongest.tokens[strongest.at], strongest.value, len(strongest.tokens)) == ("t20", 4.25, 16)
    assert found.entry.top == ("t20", " cat") and found.entry.histogram == (7, 3, 1)
    assert (found.entry.density, found.entry.largest) == (0.0031, 4.3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "expected JSON in .*; it is damaged"),
        ("[]", "expected a feature of Neuronpedia in .*; it has no modelId; give one feature's JSON"),
        ('{"modelId": "m", "layer": "l"}', "it has no index; give one feature's JSON"),
    ],
)
def test_what_is_no_feature_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match=words):
        read_feature(tmp_path / "f.json")
    with pytest.raises(UserError, match="expected a feature's JSON of Neuronpedia; got .*, which is no file; check"):
        read_feature(tmp_path / "nothing.json")
