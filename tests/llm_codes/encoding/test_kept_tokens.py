"""Token ids are kept under the hash of tokenizer and texts: the second reading is the first one's, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from eval import caches
from llm_codes.encoding.kept_tokens import LEAST_CHARACTERS, KeptTokens, Tokens

TEXTS = ["a" * LEAST_CHARACTERS, "", "b" * 7]
CALLS: list[int] = []


def encoder(shift: int, *, characters: bool = False) -> Callable[[Sequence[str]], Tokens]:
    def encode(texts: Sequence[str]) -> Tokens:
        CALLS.append(shift)
        none = np.empty((0, 2), dtype=int)
        return [
            (
                np.arange(len(text), dtype=np.int32) + shift,
                np.stack([np.arange(len(text)), np.arange(len(text)) + 1], 1) if characters else none,
            )
            for text in texts
        ]

    return encode


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path))
    CALLS.clear()
    return tmp_path / "tokens"


def kept(encode: Callable[[Sequence[str]], Tokens], tokenizer: str, *, characters: bool = False) -> KeptTokens:
    return KeptTokens(encode, lambda: tokenizer, characters=characters)


def same(one: Tokens, other: Tokens) -> bool:
    return all(
        np.array_equal(a, b) and np.array_equal(c, d) and a.dtype == b.dtype
        for (a, c), (b, d) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("characters", [False, True])
def test_the_second_reading_equals_the_first_and_encodes_nothing(folder: Path, characters: bool) -> None:
    encode = encoder(0, characters=characters)
    first = kept(encode, "one", characters=characters)(TEXTS)
    assert same(first, encode(TEXTS)) and CALLS == [0, 0]
    assert same(kept(encode, "one", characters=characters)(TEXTS), first) and CALLS == [0, 0]


def test_another_tokenizer_and_other_texts_are_encoded(folder: Path) -> None:
    kept(encoder(0), "one")(TEXTS)
    assert kept(encoder(5), "two")(TEXTS)[0][0][0] == 5
    for other in (TEXTS[::-1], [*TEXTS, "c"], [TEXTS[0] + "b" * 7, "", ""], [TEXTS[0][:-1] + "c", *TEXTS[1:]]):
        kept(encoder(0), "one")(other)
    assert CALLS == [0, 5, 0, 0, 0, 0] and len(list(folder.glob("*.npz"))) == 6


@pytest.mark.parametrize("damage", ["cut", "other", "bytes"])
def test_what_is_damaged_is_encoded_again(folder: Path, damage: str) -> None:
    whole = kept(encoder(0), "one")(TEXTS)
    (path,) = folder.glob("*.npz")
    raw = path.read_bytes()
    if damage == "other":
        np.savez(path, lengths=np.array([3]), ids=np.arange(3, dtype=np.int32))
    else:
        middle = len(raw) // 2
        path.write_bytes(raw[:-50] if damage == "cut" else raw[:middle] + b"nonsense" + raw[middle + 8 :])
    assert same(kept(encoder(0), "one")(TEXTS), whole) and CALLS == [0, 0]
    assert same(kept(encoder(0), "one")(TEXTS), whole) and CALLS == [0, 0], "kept once more"


def test_short_texts_a_switch_and_a_folder_that_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(encoder(0), "one")(["short"])
    assert not folder.exists()
    monkeypatch.setenv(caches.VARIABLE, caches.OFF)
    kept(encoder(0), "one")(TEXTS)
    assert not folder.exists()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path / "file"))
    assert len(kept(encoder(0), "one")(TEXTS)) == 3


def test_what_was_used_longest_ago_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = caches.KeptArrays("tokens")
    for name in ("a", "b"):
        arrays.write(name, {"x": np.zeros(1000)})
    os.utime(folder / "a.npz", (10, 10))
    os.utime(folder / "b.npz", (5, 5))
    assert arrays.read("b") is not None  # used just now
    monkeypatch.setattr(caches, "MAXIMUM_BYTES", 20_000)
    arrays.write("c", {"x": np.zeros(1000)})
    assert {path.stem for path in folder.glob("*.npz")} == {"b", "c"}
