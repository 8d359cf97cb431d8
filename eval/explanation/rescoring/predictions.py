"""Predictions token by token, kept in Parquet: what was scored, for another metric or another reader.

One row a token. Axes: ``token`` (the kept tokens of the windows of a mix, in order).

| column | what |
|---|---|
| ``unit``, ``family``, ``layer``, ``index``, ``condition`` | the unit and its condition, as in ``scores.jsonl`` |
| ``explanation`` | its words; null where there are none |
| ``mix`` | random (shared by all units) or top (the unit's own) |
| ``window``, ``document``, ``position``, ``token`` | where the token stands, and its text |
| ``activation`` | the positive part of the unit's value, as recorded |
| ``scale`` | the unit's largest activation on the explain documents: the truth is 10 activation / scale |
| ``predicted`` | level 0..10 after calibration; NaN where there is no prediction |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from eval.errors import UserError
from eval.explanation.drafts import Draft
from eval.explanation.records import LEVELS, Record
from eval.explanation.units import Unit
from eval.files import atomic_path

FILE = "predictions.parquet"
KEPT_MIXES = ("random", "top")
TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        *((name, TEXT) for name in ("unit", "family", "condition", "explanation", "mix", "token")),
        ("layer", pa.int32()),
        ("index", pa.int64()),
        ("window", pa.int64()),
        ("document", pa.int64()),
        ("position", pa.int32()),
        ("activation", pa.float32()),
        ("scale", pa.float64()),
        ("predicted", pa.float64()),
    ]
)


@dataclass(frozen=True, eq=False)
class UnitPredictions:
    """What was predicted of one unit in one condition on one mix of windows.

    truth, predicted: levels 0..10, NaN where there is no prediction. problem: why the unit was not asked about.
    """

    unit: Unit
    condition: str
    explanation: str | None
    mix: str
    scale: float
    tokens: tuple[str, ...]
    window: Int[np.ndarray, " token"]
    document: Int[np.ndarray, " token"]
    activation: Float[np.ndarray, " token"]
    predicted: Float[np.ndarray, " token"]

    @property
    def truth(self) -> Float[np.ndarray, " token"]:
        """10 activation / scale, as it was scored."""
        return LEVELS * self.activation.astype(np.float64) / (self.scale if self.scale > 0 else 1.0)

    @property
    def label(self) -> str:
        """The kind as it stands in tables: ``neuron``, ``neuron (shuffled)``, ``sae:DIR`` ..."""
        return self.unit.label(self.condition)


def table_of(drafts: Iterable[Draft]) -> pa.Table:
    """The rows of some units, in their order."""
    parts = [_rows(draft, mix) for draft in drafts for mix in KEPT_MIXES if draft.records[mix]]
    return pa.concat_tables(parts, promote_options="none").combine_chunks() if parts else SCHEMA.empty_table()


def _rows(draft: Draft, mix: str) -> pa.Table:
    records = draft.records[mix]
    n = sum(len(record.tokens) for record in records)
    words = [word for record in records for word in record.tokens]

    def same(value: object, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), n)

    def text(value: str | None) -> pa.Array:
        return same(value, pa.string()).dictionary_encode().cast(TEXT)

    def of_windows(pick: str) -> np.ndarray:
        return np.concatenate([np.full(len(record.tokens), getattr(record, pick)) for record in records])

    columns = {
        "unit": text(draft.unit.name),
        "family": text(draft.unit.family),
        "condition": text(draft.condition),
        "explanation": text(draft.explanation.text or None),
        "mix": text(mix),
        "token": pa.array(words, pa.string()).dictionary_encode().cast(TEXT),
        "layer": same(draft.unit.layer, pa.int32()),
        "index": same(draft.unit.index, pa.int64()),
        "window": of_windows("window"),
        "document": of_windows("document"),
        "position": np.concatenate([np.arange(len(record.tokens)) for record in records]).astype(np.int32),
        "activation": _activations(records),
        "scale": same(draft.scale, pa.float64()),
        "predicted": np.asarray(draft.predicted[mix], dtype=np.float64),
    }
    return pa.table(columns, schema=SCHEMA)


def _activations(records: Sequence[Record]) -> np.ndarray:
    return np.concatenate([record.values for record in records]).astype(np.float32)  # recorded in single precision


def table_bytes(table: pa.Table) -> np.ndarray:
    """A table as the bytes of a Parquet file: what an item of a run keeps."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return np.frombuffer(sink.getvalue().to_pybytes(), dtype=np.uint8)


def write_predictions(path: Path, parts: Sequence[np.ndarray]) -> None:
    """One Parquet file of all parts (`table_bytes`), atomically; part by part, so that none but one is in memory."""
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(pa.BufferReader(part.tobytes())).cast(SCHEMA))


def read_predictions(folder: str | Path) -> Iterator[UnitPredictions]:
    """Every unit, condition and mix of a run, in the order in which they were scored.

    Raises `UserError` where the run keeps no predictions.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"expected {FILE} in {folder}, found none; run `explain` there (it keeps them by default)")
    try:
        file = pq.ParquetFile(path)
        if not set(SCHEMA.names) <= set(file.schema_arrow.names):
            raise ValueError("other columns")
        groups = (file.read_row_group(number, columns=SCHEMA.names) for number in range(file.num_row_groups))
        for table in groups:
            yield from _units_of(table)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise UserError(f"{path} holds no predictions ({error}); run `explain` there again") from error


def _units_of(table: pa.Table) -> Iterator[UnitPredictions]:
    """The runs of rows of one unit and mix."""
    if not len(table):
        return
    keys = [table[name].combine_chunks().cast(pa.string()).to_numpy(zero_copy_only=False) for name in ("unit", "mix")]
    same = [key[1:] == key[:-1] for key in keys]
    starts = [0, *(np.flatnonzero(~(same[0] & same[1])) + 1).tolist(), len(table)]
    for first, last in zip(starts[:-1], starts[1:], strict=True):
        yield _unit_of(table.slice(first, last - first))


def _unit_of(rows: pa.Table) -> UnitPredictions:
    one = {name: rows[name][0].as_py() for name in ("family", "condition", "explanation", "mix", "layer", "index")}
    kind, _, source = one["family"].partition(":")

    def column(name: str) -> np.ndarray:
        return rows[name].to_numpy()

    return UnitPredictions(
        unit=Unit(kind, one["layer"], one["index"], source=source),
        condition=one["condition"],
        explanation=one["explanation"],
        mix=one["mix"],
        scale=rows["scale"][0].as_py(),
        tokens=tuple(rows["token"].to_pylist()),
        window=column("window"),
        document=column("document"),
        activation=column("activation"),
        predicted=column("predicted"),
    )
