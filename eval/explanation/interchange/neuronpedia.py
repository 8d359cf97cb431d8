"""Neuronpedia's explanation and activation JSON, both ways.

    explanations: [{"modelId", "layer", "index", "description", "explanationModelName", "typeName", "scores": [...]}]
    activations:  [{"modelId", "layer", "index", "tokens": [...], "values": [...], "maxValue", "minValue",
                    "maxValueTokenIndex"}]

``layer`` is Neuronpedia's name of the source (``3-mlp``, ``3-res-jb``): block, hyphen, what is read there.
``index`` is a text. Other keys of a downloaded file are left alone: what is not needed here is not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.explanation.records import Record
from eval.explanation.units import Unit
from eval.result_json import noted
from eval.results import Result, result

WHERE = "a Neuronpedia explanation or activation file"


@result
class NeuronpediaExplanation(Result):
    """One explanation. model: Neuronpedia's model name; layer: its source name; explained_by: the explainer."""

    model: str = noted(key="modelId")
    layer: str
    index: int
    description: str
    explained_by: str = noted("", key="explanationModelName")
    type_name: str = noted("", key="typeName")

    def row(self) -> str:
        """As Neuronpedia writes it, strict JSON."""
        return _json(self.to_json() | {"index": str(self.index), "scores": []})


@result
class NeuronpediaActivation(Result):
    """One window: tokens, and a value for each."""

    model: str = noted(key="modelId")
    layer: str
    index: int
    tokens: tuple[str, ...]
    values: tuple[float, ...]

    def row(self) -> str:
        """As Neuronpedia writes it, strict JSON."""
        peak = int(np.argmax(self.values))
        ends = {"maxValue": self.values[peak], "maxValueTokenIndex": peak, "minValue": min(self.values)}
        return _json(self.to_json() | {"index": str(self.index)} | ends)

    def record(self, number: int = 0) -> Record:
        """As a `Record`, numbered as told; its document and token ids are unknown."""
        return Record(self.tokens, (), np.array(self.values, dtype=float), number, -1)


def source_name(unit: Unit) -> str:
    """Neuronpedia's ``layer`` of a unit: ``3-mlp`` for a neuron, ``3-<source>`` for a feature of a dictionary."""
    return f"{unit.layer}-{'mlp' if unit.kind == 'neuron' else (unit.source or unit.kind).replace('/', '_')}"


def explanation_of(model: str, unit: Unit, description: str, explained_by: str) -> NeuronpediaExplanation:
    """A unit's explanation, under our type name."""
    return NeuronpediaExplanation(model, source_name(unit), unit.index, description, explained_by, "neural-codes")


def activation_of(model: str, unit: Unit, record: Record) -> NeuronpediaActivation:
    """A unit's values on one window."""
    return NeuronpediaActivation(model, source_name(unit), unit.index, record.tokens, tuple(map(float, record.values)))


def rows_text(rows: Iterable[NeuronpediaExplanation | NeuronpediaActivation]) -> str:
    """A list of objects, as Neuronpedia's downloads are."""
    return f"[{', '.join(row.row() for row in rows)}]\n"


def _json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, allow_nan=False, ensure_ascii=False)


def read_explanations(path: str | Path) -> tuple[NeuronpediaExplanation, ...]:
    """The explanations of a file (a list, or one object a line). Raises `UserError` for anything else."""
    return tuple(
        NeuronpediaExplanation(
            *_identity(row, path),
            description=_text(row, "description", path),
            explained_by=str(row.get("explanationModelName") or ""),
            type_name=str(row.get("typeName") or ""),
        )
        for row in _rows(path)
    )


def read_activations(path: str | Path) -> tuple[NeuronpediaActivation, ...]:
    """The windows of a file. Raises `UserError` for anything else, and where tokens and values differ in number."""
    out = []
    for place, row in enumerate(_rows(path)):
        tokens, values = row.get("tokens"), row.get("values")
        if not isinstance(tokens, Sequence) or not isinstance(values, Sequence):
            raise UserError(f"expected tokens and values in row {place} of {path}, got neither; is it {WHERE}?")
        if len(tokens) != len(values):
            raise UserError(
                f"expected one value per token in {path}, got {len(values)} for {len(tokens)} in row {place}"
            )
        found = tuple(map(str, tokens)), tuple(map(float, values))
        out.append(NeuronpediaActivation(*_identity(row, path), *found))
    return tuple(out)


def _rows(path: str | Path) -> list[dict[str, Any]]:
    text = Path(path).read_text(encoding="utf-8")
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.splitlines() if x]
    except ValueError as error:
        raise UserError(f"expected JSON in {path}, got something else ({error}); is it {WHERE}?") from error
    if not all(isinstance(row, dict) for row in found):
        raise UserError(f"expected a list of objects in {path}; is it {WHERE}?")
    return found


def _identity(row: Mapping[str, Any], path: str | Path) -> tuple[str, str, int]:
    return _text(row, "modelId", path), _text(row, "layer", path), int(_text(row, "index", path))


def _text(row: Mapping[str, Any], key: str, path: str | Path) -> str:
    if row.get(key) is None:
        raise UserError(f"expected the key {key} in {path}, got {', '.join(row) or 'none'}; is it {WHERE}?")
    return str(row[key])
