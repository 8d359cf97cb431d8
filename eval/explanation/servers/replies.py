"""What a server's reply says: numbers per token from JSON, lines or log-probabilities, with every defect kept.

What cannot be read is NaN (missing), and a note says which defect was survived. `servers.levels` lists the forms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.explanation.explainers import REFUSAL, Reply
from eval.explanation.records import LEVELS
from eval.explanation.servers.answers import ONLY_REASONING, without_thinking
from eval.explanation.servers.levels import levels_in_json, levels_in_lines
from eval.explanation.simulators import Simulation, expected_value


def reply_of(body: dict[str, Any] | None, reason: str | None) -> Reply:
    """The first choice of a chat completion, with ``top_logprobs`` where it has them; a refusal has a reason."""
    if body is None:
        return Reply(reason=reason or "no reply")
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Reply(reason="the reply holds no message")
    if message.get("refusal"):
        return Reply(reason=f"refused: {str(message['refusal'])[:80]}")
    if not content and (message.get("reasoning_content") or message.get("reasoning")):
        return Reply(reason=ONLY_REASONING)
    if isinstance(content, list):  # content parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    entries = ((choice.get("logprobs") or {}).get("content")) or []
    top = tuple(
        (str(entry.get("token", "")), {str(t["token"]): float(t["logprob"]) for t in entry.get("top_logprobs") or []})
        for entry in entries
    )
    return Reply(str(content or ""), None, top or None)


def _finish(found: Mapping[int, float], n_tokens: int, notes: list[str], text: str) -> Simulation:
    """Values by token number to a simulation, with notes on too few, too many and unreadable ones."""
    values = np.full(n_tokens, np.nan)
    for number, value in found.items():
        if 1 <= number <= n_tokens:
            values[number - 1] = value
    answer = without_thinking(text).strip()
    if not answer:
        return Simulation.failed(n_tokens, ONLY_REASONING if text.strip() else "empty reply")
    if not np.isfinite(values).any():
        refused = REFUSAL.match(answer.replace("\u2019", "'"))
        return Simulation.failed(n_tokens, "the simulator refused" if refused else "no number in the reply", *notes)
    if any(number > n_tokens or number < 1 for number in found):
        notes.append("more values than tokens")
    if len([number for number in found if 1 <= number <= n_tokens]) < n_tokens:
        notes.append("fewer values than tokens")
    if any(math.isnan(value) for value in found.values()):
        notes.append("text instead of a number")
    return Simulation(values, notes=tuple(dict.fromkeys(notes)))


def parse_json_levels(text: str, n_tokens: int) -> Simulation:
    """An object number -> level, or a list; of a cut one the valid prefix is kept. Lines are read where they came."""
    answer = without_thinking(text)
    found, problem = levels_in_json(answer) or ({}, None)
    if not any(math.isfinite(value) for value in found.values()):
        lines = {number: level.value for number, level in levels_in_lines(answer).items()}
        if lines:
            found, problem = lines, "lines instead of JSON"
    return _finish(found, n_tokens, [problem] if problem else [], text)


def parse_lines(reply: Reply, n_tokens: int) -> Simulation:
    """Lines ``number: level``; with log-probabilities the expected level, without them the level that was written.

    A JSON object or list is read where it came instead.
    """
    found = {number: level.value for number, level in levels_in_lines(without_thinking(reply.text)).items()}
    if not any(math.isfinite(value) for value in found.values()):
        return parse_json_levels(reply.text, n_tokens)
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
    ends = np.cumsum([len(token) for token, _ in entries])
    whole = without_thinking("".join(token for token, _ in entries))
    out: dict[int, np.ndarray] = {}
    for number, level in levels_in_lines(whole).items():
        place = int(np.searchsorted(ends, level.start, side="right"))
        token, top = entries[place]
        if math.isnan(level.value) or not top:
            continue
        probability = _level_probability(top)
        following = entries[place + 1][1] if place + 1 < len(entries) else {}
        if token.strip() == "1" and following:
            zero = sum(math.exp(logprob) for word, logprob in following.items() if word == "0")
            probability[10] += probability[1] * zero
            probability[1] *= 1 - zero
        out[number] = probability
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
