"""Local models whose answers are kept: a chat and a simulator that look into the journal first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from eval.explanation.explainers import Chat, Reply
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.servers.journal import Journal, content_hash
from eval.explanation.simulators import Simulation, Simulator, Task

Asked = TypeVar("Asked")


def answered(
    journal: Journal,
    requests: Sequence[tuple[dict[str, Any], Asked]],
    ask: Callable[[list[Asked]], Sequence[dict[str, Any]]],
    at_once: int,
) -> list[dict[str, Any]]:
    """What the journal keeps of every request, asked for first where it is not there.

    requests: (what the journal knows it by, what is asked). at_once: how many are asked together, and lost by a kill.
    """
    keys = [content_hash(request) for request, _ in requests]
    known = {key: journal.find(key) for key in dict.fromkeys(keys)}
    missing = {key: one for key, one in zip(keys, requests, strict=True) if known[key] is None}
    for first in range(0, len(missing), at_once):
        some = list(missing.items())[first : first + at_once]
        for key, (request, _) in some:
            journal.asked(key, request)
        for (key, _), kept in zip(some, ask([asked for _, (_, asked) in some]), strict=True):
            journal.answered(key, kept)
            known[key] = kept
    return [known[key] or {} for key in keys]


class JournaledSimulator:
    """A (slow, local) simulator whose simulations are kept: each window is simulated once per explanation.

    identity: what else decides the numbers (model, weights, dtype). at_once: windows that are simulated together.
    """

    def __init__(
        self, simulator: Simulator, journal: Journal, identity: Mapping[str, Any], *, at_once: int = 1
    ) -> None:
        self.simulator, self.journal, self.identity = simulator, journal, dict(identity)
        self.name, self.at_once = simulator.name, at_once

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]:
        told = [task for task in tasks if task.explanation.is_defined]
        kept = iter(answered(self.journal, [(self._request(task), task) for task in told], self._ask, self.at_once))
        return [
            _simulation(next(kept)) if task.explanation.is_defined else self.simulator.simulate([task])[0]
            for task in tasks
        ]

    def _request(self, task: Task) -> dict[str, Any]:
        return {
            "simulate": self.identity,
            "prompt": load_prompt("simulate"),
            "explanation": task.explanation.text,
            "tokens": list(task.strings),
        }

    def _ask(self, tasks: list[Task]) -> list[dict[str, Any]]:
        return [
            {
                "values": _listed(found.values),
                "outside": None if found.outside is None else _listed(found.outside),
                "reason": found.reason,
                "notes": list(found.notes),
            }
            for found in self.simulator.simulate(tasks)
        ]


def _simulation(kept: dict[str, Any]) -> Simulation:
    outside = kept["outside"]
    return Simulation(
        _array(kept["values"]), None if outside is None else _array(outside), kept["reason"], tuple(kept["notes"])
    )


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


class JournaledChat:
    """A (slow, local) chat whose replies are kept. at_once: conversations that are answered together."""

    def __init__(self, chat: Chat, journal: Journal, identity: Mapping[str, Any], *, at_once: int = 1) -> None:
        self.chat, self.journal, self.identity = chat, journal, dict(identity)
        self.name, self.at_once = chat.name, at_once

    def ask(self, conversations: Sequence[list[Message]], *, maximum_tokens: int) -> list[Reply]:
        def ask(some: list[list[Message]]) -> list[dict[str, Any]]:
            replies = self.chat.ask(some, maximum_tokens=maximum_tokens)
            return [{"text": one.text, "reason": one.reason, "top_logprobs": one.top_logprobs} for one in replies]

        head = {"chat": self.identity, "maximum_tokens": maximum_tokens}
        requests = [(head | {"messages": conversation}, conversation) for conversation in conversations]
        return [_reply(kept) for kept in answered(self.journal, requests, ask, self.at_once)]


def _reply(kept: dict[str, Any]) -> Reply:
    top = kept["top_logprobs"]
    told = None if top is None else tuple((token, dict(found)) for token, found in top)
    return Reply(kept["text"], kept["reason"], told)
