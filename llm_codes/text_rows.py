"""Texts out of tables: files of rows, and what a script holds (lists, arrays, frames, data sets).

Each reader yields `(number, content)`, the number as the file counts (lines from 1); content is a text, token ids, or
the messages of a chat. A column is a name, or a path through nested objects with dots: `meta.text`.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import IO, Any

from eval.errors import UserError
from llm_codes.encoding.document import Content, Message

ROW_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".csv", ".tsv", ".parquet")
LONE_SUFFIXES = (*ROW_SUFFIXES, ".json")
Row = tuple[int, Content]


def row_suffix(path: Path) -> str:
    """The ending that says how the rows of a file are written; empty where it is no file of rows."""
    name = path.name.lower()
    return next((suffix for suffix in LONE_SUFFIXES if name.endswith(suffix)), "")


def read_rows(path: Path, column: str) -> Iterator[Row]:
    """The texts of a file of rows (see `LONE_SUFFIXES`).

    Raises:
        UserError: a damaged file (named with the line), a missing column (with those there are), no text in it.
    """
    suffix = row_suffix(path)
    if suffix == ".parquet":
        return _parquet(path, column)
    if suffix in (".csv", ".tsv"):
        return _delimited(path, column, "\t" if suffix == ".tsv" else ",")
    return _json(path, column) if suffix == ".json" else _jsonl(path, column)


def column_content(row: Mapping[str, Any], column: str, where: str) -> Content:
    """What a row holds in a column; an empty cell is an empty text."""
    value: Any = row
    for name in [column] if column in row else column.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise UserError(f"no column {column!r} in {where}: it has {', '.join(map(str, row))}; pass --text-column")
        value = value[name]
    if isinstance(value, str | None):
        return value or ""
    content = _sequence(value, where)
    if content is None:
        raise UserError(f"column {column!r} of {where} holds {type(value).__name__}; expected text; pass --text-column")
    return content


def _sequence(value: Any, where: str) -> Content | None:
    """Token ids or messages of a sequence or a one-dimensional array; `None` for anything else."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return None
    if all(isinstance(one, Integral) and not isinstance(one, bool) for one in value):
        return tuple(map(int, value)) if value else ""
    if not all(isinstance(one, Mapping) for one in value):
        return None
    for one in value:
        if not (isinstance(one.get("role"), str) and isinstance(one.get("content"), str)):
            raise UserError(
                f"expected messages with a role and a content, both texts, in {where}; got {', '.join(map(str, one))}; "
                "pass --text-column, or mend the rows"
            )
    return tuple(Message(one["role"], one["content"]) for one in value)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _jsonl(path: Path, column: str) -> Iterator[Row]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"line {number} of {path} is not JSON ({error}); expected one object a line") from error
            if not isinstance(row, dict):
                raise UserError(f"line {number} of {path} is {type(row).__name__}; expected a JSON object")
            yield number, column_content(row, column, f"line {number} of {path}")


def _json(path: Path, column: str) -> Iterator[Row]:
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); expected a list of objects or of texts") from error
    if not isinstance(rows, list):
        raise UserError(f"expected {path} to hold a list of objects or of texts; got {type(rows).__name__}; use .jsonl")
    for number, row in enumerate(rows, start=1):
        yield number, _item(row, column, f"item {number} of {path}")


def _delimited(path: Path, column: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=delimiter)
        try:
            for row in reader:
                yield reader.line_num, column_content(row, column, str(path))
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(
                f"line {reader.line_num} of {path} cannot be read ({error}); expected UTF-8 rows"
            ) from error


def _parquet(path: Path, column: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise UserError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    top = column if column in table.schema_arrow.names else column.split(".")[0]
    if top not in table.schema_arrow.names:
        column_content(dict.fromkeys(table.schema_arrow.names), column, str(path))
    number = 0
    for batch in table.iter_batches(columns=[top]):
        for value in batch.column(0).to_pylist():
            number += 1
            yield number, column_content({top: value}, column, str(path))


def _item(item: Any, column: str, where: str) -> Content:
    if isinstance(item, str):
        return item
    if isinstance(item, Mapping):
        return column_content(item, column, where)
    content = _sequence(item, where)
    if content is not None:
        return content
    raise UserError(
        f"expected a text or a row in {where}; got {type(item).__name__}; pass texts, or rows with a column"
    )


def object_rows(source: Any, column: str) -> tuple[str, bool, Iterable[Row]]:
    """What a script holds: a few words for it, whether it is streamed, and its texts.

    A list of texts, of rows, of token ids or of chats; an array of token ids [document, token]; a pandas DataFrame, a
    `datasets.Dataset` (an `IterableDataset` is streamed).

    Raises:
        UserError: anything else.
    """
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # a DataFrame, without importing pandas
        names = [str(name) for name in source.columns]
        top = column if column in names else column.split(".")[0]
        if top not in names:
            column_content(dict.fromkeys(names), column, "the frame")
        cells = source[top].tolist()
        rows = [(number, column_content({top: cell}, column, f"row {number}")) for number, cell in enumerate(cells)]
        return f"a frame of {len(rows)} rows", False, rows
    if hasattr(source, "tolist") and hasattr(source, "ndim"):  # an array or a tensor, likewise
        if source.ndim != 2:
            raise UserError(f"expected token ids [document, token]; got {source.ndim} axes; pass one row per document")
        rows = [(number, _item(ids, column, f"row {number}")) for number, ids in enumerate(source.tolist())]
        return f"token ids of {len(rows)} documents", False, rows
    if hasattr(source, "column_names") and hasattr(source, "features"):  # a datasets.Dataset, likewise
        numbered = enumerate(source)
        rows = (
            (number, column_content(dict(row), column, f"row {number} of the data set")) for number, row in numbered
        )
        if hasattr(source, "__len__"):
            return f"a data set of {len(source)} rows", False, rows
        return "a streamed data set", True, rows
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        rows = [(number, _item(item, column, f"item {number}")) for number, item in enumerate(source)]
        return f"a list of {len(rows)} texts", False, rows
    raise UserError(
        f"expected a corpus: a name, a path, token ids, a list of texts, a DataFrame or a datasets.Dataset; got "
        f"{type(source).__name__}; pass one of them"
    )
