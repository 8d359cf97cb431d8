"""Clean and corrupted prompts: read from a file, or made of prompts that the model can do by changing one word.

    {"clean": "Mary and John went out, and John saw", "corrupted": "Mary and John went out, and Mary saw",
     "target": " Mary", "foil": " John", "kind": "names", "document": "1"}

`kind` and `document` may be left out; pairs of one document count as one in intervals. Both prompts of a pair have as
many tokens, so that every position of one has its place in the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.errors import UserError
from llm_codes.lenses.faithfulness.prompts import KINDS, Prompt
from llm_codes.lenses.graphs.study import prompt_tokens
from llm_codes.lenses.graphs.targets import one_token
from llm_codes.models import Model

NEEDED = ("clean", "corrupted", "target", "foil")
DONORS = 4  # prompts that a place's other word is taken from


@dataclass(frozen=True)
class Pair:
    """clean, corrupted: tokens, as many; target: the right next token of the clean prompt; foil: another one."""

    kind: str
    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    target: int
    foil: int
    document: int

    @property
    def changed(self) -> list[int]:
        """Positions at which the prompts differ."""
        return [
            place for place, (one, other) in enumerate(zip(self.clean, self.corrupted, strict=True)) if one != other
        ]


def read_pairs(path: str | Path, model: Model) -> list[Pair]:
    """The pairs of a JSONL file.

    Raises:
        UserError: no such file, or none in it; a line that is no pair, with its number.
    """
    source = Path(path)
    if not source.is_file():
        raise UserError(f"expected a file of pairs at {source}; found none; check the path")
    lines = enumerate(source.read_text(encoding="utf-8").splitlines(), 1)
    rows = [(number, line) for number, line in lines if line.strip()]
    if not rows:
        raise UserError(f"expected pairs in {source}, one a line; got none; write some")
    documents: dict[str, int] = {}
    return [_pair(f"line {number} of {source.name}", line, model, documents) for number, line in rows]


def _pair(where: str, line: str, model: Model, documents: dict[str, int]) -> Pair:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise UserError(f"expected a JSON object at {where}; got {error}; write one pair a line") from error
    missing = [name for name in NEEDED if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if missing:
        raise UserError(f"expected texts {', '.join(NEEDED)} at {where}; got no {missing[0]}; add it")
    clean, corrupted = (tuple(prompt_tokens(model, row[name]).tolist()) for name in NEEDED[:2])
    if len(clean) != len(corrupted):
        raise UserError(
            f"expected prompts of as many tokens at {where}; got {len(clean)} and {len(corrupted)}; change a word for "
            "one of as many tokens"
        )
    if clean == corrupted:
        raise UserError(f"expected two different prompts at {where}; got the same twice; change a word")
    target, foil = (one_token(model, row[name]) for name in NEEDED[2:])
    if target == foil:
        raise UserError(f"expected two different tokens as target and foil at {where}; got {row['foil']!r} twice")
    document = documents.setdefault(str(row.get("document", where)), len(documents))
    return Pair(str(row.get("kind", "from a file")), clean, corrupted, target, foil, document)


def make_pairs(model: Model, prompts: Sequence[Prompt], batch_size: int = 16, seed: int = 0) -> list[Pair]:
    """Every prompt beside itself with one word changed: the one, of several tried, that lowers the logit difference
    most.

    Tried are, at every position but the first and the last, the tokens that a few other prompts of the kind have there,
    counted from the end; for a repeated word also its earlier places, all changed to another prompt's word. The last
    position is left, so that what was changed has to travel. A prompt with nothing to change is left out.
    """
    generator = np.random.default_rng(seed)
    out = []
    for prompt in prompts:
        others = [one for one in prompts if one.kind == prompt.kind and one.document != prompt.document]
        others = others or [one for one in prompts if one.document != prompt.document]
        chosen = [others[n] for n in generator.permutation(len(others))[:DONORS]]
        tried = list(dict.fromkeys(changed for donor in chosen for changed in _changes(prompt, donor)))
        if tried:
            pairs = [
                Pair(prompt.kind, prompt.tokens, one, prompt.target, prompt.foil, prompt.document) for one in tried
            ]
            left = differences(model, [one.corrupted for one in pairs], prompt.target, prompt.foil, batch_size)
            out.append(pairs[int(np.argmin(left))])
    return out


def _changes(prompt: Prompt, donor: Prompt) -> list[tuple[int, ...]]:
    own, length = prompt.tokens, len(prompt.tokens)
    out = []
    for place in range(1, length - 1):
        from_end = len(donor.tokens) - (length - place)
        other = donor.tokens[from_end] if from_end > 0 else own[place]
        if other != own[place]:
            out.append((*own[:place], other, *own[place + 1 :]))
    places = [place for place in range(1, length - 1) if own[place] == prompt.target]
    if prompt.kind == KINDS[0] and places and donor.target != prompt.target:
        out.append(tuple(donor.target if place in places else token for place, token in enumerate(own)))
    return out


@torch.no_grad()
def differences(
    model: Model, prompts: Sequence[Sequence[int]], target: int, foil: int, batch_size: int = 16
) -> np.ndarray:
    """Logit of the target less the foil's at the end of every prompt, [prompt]; all of one length."""
    rows = torch.tensor([list(one) for one in prompts], dtype=torch.long)
    logits = torch.cat([model.logits(part)[:, -1] for part in rows.split(batch_size)])
    return (logits[:, target] - logits[:, foil]).double().cpu().numpy()


@torch.no_grad()
def own_tokens(model: Model, pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with the model's own tokens, for a network that gets no word right: its most probable next token after
    the clean prompt as target, and as foil the token that the corruption raises most."""
    out = []
    for pair in pairs:
        clean, corrupted = model.logits(torch.tensor([pair.clean, pair.corrupted]))[:, -1]
        target = int(clean.argmax())
        raised = corrupted - clean
        raised[target] = -torch.inf
        out.append(replace(pair, target=target, foil=int(raised.argmax())))
    return out
