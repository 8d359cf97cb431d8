"""What a server's reply says: numbers per token from JSON, from lines, from log-probabilities, with every defect kept.

Values are keyed by the token's number (1-based), so a skipped, repeated or extra entry never shifts the others. What
cannot be read is NaN (missing), and a note says which defect was survived.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.explanation.explainers import REFUSAL, Reply
from eval.explanation.records import LEVELS
from eval.explanation.simulators import Simulation, expected_value

PAIR = re.compile(r'"?(\d+)"?\s*:\s*("?)([^",}\n]*)("?)')
NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
LINE = re.compile(r"^\s*(\d+)\s*[:.\t]\s*(\S+)\s*$")


def reply_of(body: dict[str, Any] | None, reason: str | None) -> Reply:
    """The first choice of a chat completion, with ``top_logprobs`` where it has them; a refusal has a reason."""
    if body is None:
        return Reply(reason=reason or "no reply")
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        return Reply(reason="the reply holds no message")
    if message.get("refusal"):
        return Reply(reason=f"refused: {str(message['refusal'])[:80]}")
    entries = ((choice.get("logprobs") or {}).get("content")) or []
    top = tuple(
        (str(entry.get("token", "")), {str(t["token"]): float(t["logprob"]) for t in entry.get("top_logprobs") or []})
        for entry in entries
    )
    return Reply(str(text), None, top or None)


def _number(text: str) -> float:
    """A level 0..10 (clipped), NaN for anything that is not a number."""
    text = text.strip()
    return float(min(LEVELS, max(0.0, float(text)))) if NUMBER.match(text) else math.nan


def _finish(found: dict[int, float], n_tokens: int, notes: list[str], text: str) -> Simulation:
    """Values by token number to a simulation, with notes on too few, too many and unreadable ones."""
    values = np.full(n_tokens, np.nan)
    for number, value in found.items():
        if 1 <= number <= n_tokens:
            values[number - 1] = value
    if not text.strip():
        return Simulation.failed(n_tokens, "empty reply")
    if not np.isfinite(values).any():
        refused = REFUSAL.match(text.strip().replace("\u2019", "'"))
        return Simulation.failed(n_tokens, "the simulator refused" if refused else "no number in the reply", *notes)
    if any(number > n_tokens or number < 1 for number in found):
        notes.append("more values than tokens")
    if len([number for number in found if 1 <= number <= n_tokens]) < n_tokens:
        notes.append("fewer values than tokens")
    if any(math.isnan(value) for value in found.values()):
        notes.append("text instead of a number")
    return Simulation(values, notes=tuple(dict.fromkeys(notes)))


def parse_json_levels(text: str, n_tokens: int) -> Simulation:
    """A JSON object number -> level, or a bare array in order; of truncated JSON the valid prefix is kept."""
    notes: list[str] = []
    start = text.find("{")
    bare = text.find("[")
    if start < 0 <= bare or 0 <= bare < start:
        return _parse_array(text[bare:], n_tokens)
    body = text[start:] if start >= 0 else text
    try:
        whole, _ = json.JSONDecoder().raw_decode(body)
        found = {int(k): _number(str(v)) for k, v in whole.items() if str(k).isdigit()}
    except ValueError:
        notes.append("truncated or invalid JSON: valid prefix kept")
        # an entry counts only when something follows it: "12": 1 may have been going to be 10
        found = {
            int(m[1]): _number(m[3]) for m in PAIR.finditer(body) if body[m.end() :].lstrip()[:1] in (",", "}", "\n")
        }
    return _finish(found, n_tokens, notes, text)


def _parse_array(body: str, n_tokens: int) -> Simulation:
    notes: list[str] = []
    try:
        whole, _ = json.JSONDecoder().raw_decode(body)
        items = [str(item) for item in whole]
    except ValueError:
        notes.append("truncated or invalid JSON: valid prefix kept")
        items = body[1:].split(",")[:-1]  # the last one may be cut
    found = {place: _number(item.strip().strip('"')) for place, item in enumerate(items, start=1)}
    return _finish(found, n_tokens, notes, body)


def parse_lines(reply: Reply, n_tokens: int) -> Simulation:
    """Lines ``number: level``; with log-probabilities the expected level, without them the level that was written."""
    found: dict[int, float] = {}
    for line in reply.text.splitlines():
        match = LINE.match(line)
        if match and int(match[1]) not in found:
            found[int(match[1])] = _number(match[2])
    simulation = _finish(found, n_tokens, [], reply.text)
    if simulation.reason or not reply.top_logprobs:
        return simulation
    values, outside = simulation.values.copy(), np.full(n_tokens, np.nan)
    for number, probability in _line_probabilities(reply.top_logprobs).items():
        if 1 <= number <= n_tokens:
            expected, out = expected_value(probability[None])
            values[number - 1], outside[number - 1] = expected[0], out[0]
    known = outside[np.isfinite(outside)]
    return Simulation(values, known if len(known) else None, notes=simulation.notes)


def _line_probabilities(entries: Sequence[tuple[str, dict[str, float]]]) -> dict[int, np.ndarray]:
    """P(0..10) of each numbered line from the tokens of a reply: the token that begins the level is looked up.

    A tokenizer that writes "10" as "1", "0" is recognised where the answer does so: the mass of "1" is then split by
    the log-probabilities of the token that follows. Where the answer does not start with "1", it counts as 1.
    """
    out: dict[int, np.ndarray] = {}
    text = ""
    for place, (token, top) in enumerate(entries):
        line = text.rsplit("\n", 1)[-1]
        match = re.match(r"^\s*(\d+)\s*[:.\t]\s*$", line)
        if match and token.strip() and int(match[1]) not in out and top:
            probability = _level_probability(top)
            following = entries[place + 1][1] if place + 1 < len(entries) else {}
            if token.strip() == "1" and following:
                zero = sum(math.exp(logprob) for word, logprob in following.items() if word == "0")
                probability[10] += probability[1] * zero
                probability[1] *= 1 - zero
            out[int(match[1])] = probability
        text += token
    return out


def _level_probability(top: dict[str, float]) -> np.ndarray:
    probability = np.zeros(LEVELS + 1)
    for word, logprob in top.items():
        if re.fullmatch(r"\d{1,2}", word.strip()) and int(word) <= LEVELS:
            probability[int(word)] += math.exp(logprob)
    return probability


def parse_prompt_logprobs(body: dict[str, Any], n_tokens: int, placeholder: str) -> Simulation:
    """Expected levels from the log-probabilities of an echoed prompt (``echo`` + ``logprobs``: vLLM and kin).

    A slot is the first token of each placeholder that follows a tab. Where "10" is two tokens its mass is on "1".
    """
    try:
        found = body["choices"][0]["logprobs"]
        tokens, tops = found["tokens"], found["top_logprobs"]
    except (KeyError, IndexError, TypeError):
        return Simulation.failed(n_tokens, "the server returned no prompt log-probabilities")
    slots, text = [], ""
    for token, top in zip(tokens, tops, strict=False):
        # the tab may be its own token or the start of the placeholder's
        if (
            token.lstrip("\t")
            and placeholder.startswith(token.lstrip("\t"))
            and (text + token).endswith(f"\t{token.lstrip(chr(9))}")
        ):
            slots.append(top or {})
        text += token
    slots = slots[-n_tokens:]
    if len(slots) < n_tokens:
        return Simulation.failed(n_tokens, f"the echoed prompt has {len(slots)} slots for {n_tokens} tokens")
    probability = np.stack([_level_probability({word.lstrip("\t"): lp for word, lp in top.items()}) for top in slots])
    values, outside = expected_value(probability)
    return Simulation(values, outside)
