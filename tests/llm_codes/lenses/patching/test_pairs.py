"""Pairs from a file, pairs made of prompts, and which positions belong together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval.errors import UserError
from llm_codes.lenses.faithfulness.prompts import KINDS, Prompt
from llm_codes.lenses.patching.pairs import Pair, make_pairs, own_tokens, read_pairs
from llm_codes.lenses.patching.places import PARTS, places_of, positions_of, shared_end
from llm_codes.models import Model
from tests.llm_codes.lenses.graphs.conftest import gpt2_like

__all__ = ["gpt2_like"]
GOOD = {"clean": "the cat sat on", "corrupted": "the dog sat on", "target": " the", "foil": " mat"}


def test_a_file_of_pairs_is_read_with_its_documents(gpt2_like: Model, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{**GOOD, "document": "b"}, {**GOOD, "document": "a", "kind": "animals"}, {**GOOD, "document": "b"}, GOOD]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    pairs = read_pairs(path, gpt2_like)
    assert [pair.document for pair in pairs] == [0, 1, 0, 2]
    assert pairs[1].kind == "animals" and pairs[0].changed == [2 if len(pairs[0].clean) == 5 else pairs[0].changed[0]]
    assert pairs[0].clean[0] == gpt2_like.bos_token_id


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "expected a JSON object at line 1 of pairs.jsonl; got"),
        ("[]", "expected texts clean, corrupted, target, foil at line 1 of pairs.jsonl; got no clean; add it"),
        (json.dumps({**GOOD, "foil": 3}), "got no foil; add it"),
        (json.dumps({**GOOD, "corrupted": "the cat"}), "expected prompts of as many tokens at line 1"),
        (json.dumps({**GOOD, "corrupted": GOOD["clean"]}), "expected two different prompts at line 1"),
        (json.dumps({**GOOD, "foil": " the"}), "expected two different tokens as target and foil at line 1"),
        (json.dumps({**GOOD, "foil": " mat mat"}), "expected a target that is one token"),
        ("", "expected pairs in"),
    ],
)
def test_a_line_that_is_no_pair_is_named(gpt2_like: Model, tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(line)
    with pytest.raises(UserError) as caught:
        read_pairs(path, gpt2_like)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="expected a file of pairs at .*none.jsonl; found none"):
        read_pairs(tmp_path / "none.jsonl", gpt2_like)


def test_made_pairs_change_the_word_that_matters_most(gpt2_like: Model) -> None:
    prompts = [
        Prompt(KINDS[0], (0, 9, 40, 9, 50, 41), 9, 12, 0),
        Prompt(KINDS[0], (0, 33, 30, 31, 32, 34), 33, 12, 1),
        Prompt(KINDS[1], (0, 33, 30), 33, 12, 2),
    ]
    pairs = make_pairs(gpt2_like, prompts)
    assert [pair.clean for pair in pairs] == [prompt.tokens for prompt in prompts]
    first = pairs[0]

    def difference(tokens: tuple[int, ...]) -> float:
        logits = gpt2_like.logits(torch.tensor([tokens]))[0, -1]
        return float((logits[9] - logits[12]).detach())

    one_word = [(*first.clean[:n], prompts[1].tokens[n], *first.clean[n + 1 :]) for n in range(1, 5)]
    tried = [*one_word, (0, 33, 40, 33, 50, 41)]
    assert first.corrupted == min(tried, key=difference)
    assert all(pair.corrupted[0] == 0 and pair.corrupted[-1] == pair.clean[-1] for pair in pairs)
    assert make_pairs(gpt2_like, prompts[:1]) == [], "no other document to take a word from"


def test_the_untrained_network_is_asked_with_tokens_of_its_own(gpt2_like: Model) -> None:
    pair = Pair("", (0, 9, 40, 50), (0, 9, 41, 50), 1, 2, 0)
    own = own_tokens(gpt2_like, [pair])[0]
    clean, corrupted = gpt2_like.logits(torch.tensor([pair.clean, pair.corrupted]))[:, -1].detach()
    assert own.target == int(clean.argmax())
    drop = (clean - corrupted)[own.target] - (clean - corrupted)
    assert own.foil == int(drop.argmax()) and float(drop[own.foil]) > 0


def test_places_are_numbers_where_prompts_are_equally_long_else_parts() -> None:
    short, long = Pair("", (0, 1, 2, 3), (0, 1, 9, 3), 5, 6, 0), Pair("", (0, 1, 2, 3, 4), (0, 7, 2, 3, 4), 5, 6, 1)
    assert places_of([short, short]) == tuple(f"position {number}" for number in range(4))
    assert positions_of(short, places_of([short])) == [0, 1, 2, 3]
    assert places_of([short, long]) == PARTS
    # the changed token is the last but one, what follows it the last: nothing is counted twice
    assert positions_of(short, PARTS) == [2, None, 1, None, 3]
    assert positions_of(long, PARTS) == [1, 2, None, 3, 4]
    at_end = replace(short, corrupted=(0, 1, 2, 9))
    assert positions_of(at_end, PARTS) == [3, None, 1, 2, None]
    to, start = shared_end(4, 6)
    assert to.tolist() == [1, 2, 3] and start.tolist() == [3, 4, 5]
