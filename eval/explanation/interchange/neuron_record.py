"""OpenAI's NeuronRecord JSON, written and read: the format of the published neuron data sets [B23].

    {"dataclass_name": "NeuronRecord", "neuron_id": {"dataclass_name": "NeuronId", "layer_index", "neuron_index"},
     "random_sample": [...], "random_sample_by_quantile": null, "quantile_boundaries": null,
     "mean", "variance", "skewness", "kurtosis", "most_positive_activation_records": [...]}

Every activation record is ``{"dataclass_name": "ActivationRecord", "tokens": [...], "activations": [...]}``. A record
file holds these keys and no others, because the published readers refuse a key they do not know; what else there is to
say (which unit, window numbers, the explanation) stands in ``records/index.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.explanation.records import Book, Record
from eval.explanation.units import Unit
from eval.results import Result, result
from eval.runs import Run


@dataclass(frozen=True, eq=False)
class NeuronRecord:
    """What a NeuronRecord file holds. moments: mean, variance, skewness, kurtosis (``None`` where absent)."""

    layer: int
    index: int
    random: tuple[Record, ...]
    top: tuple[Record, ...]
    moments: Mapping[str, float | None] = field(default_factory=dict)


def _activation_record(record: Record) -> dict[str, Any]:
    return {
        "dataclass_name": "ActivationRecord",
        "tokens": list(record.tokens),
        "activations": [float(value) for value in record.values],
    }


@result
class RecordFile(Result):
    """The keys of a NeuronRecord file, in their order; the moments are ``None`` where the activations are constant."""

    dataclass_name: str
    neuron_id: Mapping[str, Any]
    random_sample: tuple[Mapping[str, Any], ...]
    random_sample_by_quantile: None
    quantile_boundaries: None
    mean: float | None
    variance: float | None
    skewness: float | None
    kurtosis: float | None
    most_positive_activation_records: tuple[Mapping[str, Any], ...]


@result
class IndexEntry(Result):
    """What ``records/index.json`` says about one file."""

    file: str
    unit: str
    kind: str
    site: str
    source: str
    random_windows: tuple[int, ...]
    top_windows: tuple[int, ...]
    explanation: str | None


def record_file(unit: Unit, random: Sequence[Record], top: Sequence[Record]) -> RecordFile:
    """One unit as a NeuronRecord; the moments are those of the random records."""
    values = np.concatenate([record.values for record in random]) if random else np.zeros(0)
    deviation = values - values.mean() if len(values) else values
    variance = float(np.mean(deviation**2)) if len(values) else None
    standard = deviation / np.sqrt(variance) if variance else None
    return RecordFile(
        dataclass_name="NeuronRecord",
        neuron_id={"dataclass_name": "NeuronId", "layer_index": unit.layer, "neuron_index": unit.index},
        random_sample=tuple(_activation_record(record) for record in random),
        random_sample_by_quantile=None,
        quantile_boundaries=None,
        mean=float(values.mean()) if len(values) else None,
        variance=variance,
        skewness=None if standard is None else float(np.mean(standard**3)),
        kurtosis=None if standard is None else float(np.mean(standard**4)),
        most_positive_activation_records=tuple(_activation_record(record) for record in top),
    )


def write_neuron_records(run: Run, book: Book, explanations: Sequence[str | None]) -> None:
    """``records/<kind>_L<layer>_<index>.json`` for every unit of a book (its score windows, random and top), and
    ``records/index.json``. explanations: of the units, in order; ``None`` where there is none."""
    names = file_names([unit.name for unit in book.units])
    index = []
    for place, unit in enumerate(book.units):
        random, top = book.random(place, "score"), book.top(place, "score")
        run.write_json(f"records/{names[place]}.json", record_file(unit, random, top).to_json())
        index.append(
            IndexEntry(
                file=f"{names[place]}.json",
                unit=unit.name,
                kind=unit.kind,
                site=unit.site,
                source=unit.source,
                random_windows=tuple(record.window for record in random),
                top_windows=tuple(record.window for record in top),
                explanation=explanations[place],
            )
        )
    run.write_json("records/index.json", [entry.to_json() for entry in index])


def file_names(names: Sequence[str]) -> list[str]:
    """A file name for each unit, no two alike (also where the file system ignores case)."""
    out: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^\w.=-]+", "_", name)
        number, chosen = 1, plain
        while chosen.lower() in taken:
            number += 1
            chosen = f"{plain}~{number}"
        taken.add(chosen.lower())
        out.append(chosen)
    return out


def read_neuron_record(path: str | Path) -> NeuronRecord:
    """Read a NeuronRecord file (ours or OpenAI's). Windows are numbered in order, documents are unknown (-1).

    Raises ``UserError`` for another kind of file and for records whose tokens and activations differ in number.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        identity = data["neuron_id"]
        layer, index = int(identity["layer_index"]), int(identity["neuron_index"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"expected an OpenAI NeuronRecord JSON file at {path}, got something else ({error})") from error
    parts = [
        tuple(_read(entry, number, path) for number, entry in enumerate(data.get(key) or []))
        for key in ("random_sample", "most_positive_activation_records")
    ]
    moments = {name: data.get(name) for name in ("mean", "variance", "skewness", "kurtosis")}
    return NeuronRecord(layer, index, parts[0], parts[1], moments)


def _read(entry: Mapping[str, Any], number: int, path: str | Path) -> Record:
    tokens, values = entry["tokens"], entry["activations"]
    if len(tokens) != len(values):
        raise UserError(
            f"expected one activation per token in {path}, got {len(values)} for {len(tokens)} in record {number}"
        )
    return Record(tuple(map(str, tokens)), (), np.array(values, dtype=float), number, -1)
