"""Explain and simulate through an OpenAI-compatible server: the requests, and which form of them a server accepts.

| mode | request | reply |
|---|---|---|
| ``logprobs`` | numbered tokens, ``logprobs`` + ``top_logprobs=20`` | lines ``number: level``; expected value each |
| ``json`` | numbered tokens, a JSON schema where it is offered | one JSON object number -> level; no probabilities |
| ``all-at-once`` | ``/completions`` with ``echo`` + ``logprobs``, one word in every slot | expected value per token |
| ``auto`` | ``logprobs``; ``json`` for the rest of the run once the server refuses log-probabilities | |

Temperature 0. Chat completions of OpenAI have no ``echo``: ``all-at-once`` is for local and vLLM-style servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.errors import known_name
from eval.explanation.explainers import Reply
from eval.explanation.local_simulator import PLACEHOLDER
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.servers.client import Client, Response
from eval.explanation.servers.probe import schema_format
from eval.explanation.servers.replies import parse_json_levels, parse_lines, parse_prompt_logprobs, reply_of
from eval.explanation.servers.transport import CHAT, COMPLETIONS
from eval.explanation.simulators import Simulation, Task
from eval.explanation.tokens import visible

MODES = ("auto", "logprobs", "json", "all-at-once")
TOKENS_PER_ANSWER = 8  # of the reply, per token of the window: number, colon, level, newline


class ServerChat:
    """A `Chat` on a server. logprobs: ask for log-probabilities, until the server refuses them."""

    def __init__(self, client: Client, model: str, *, logprobs: bool = False) -> None:
        self.client, self.model, self.logprobs = client, model, logprobs
        self.name = f"openai:{model}"

    def ask(self, conversations: Sequence[list[Message]], *, maximum_tokens: int) -> list[Reply]:
        def use(place: int, response: Response) -> Reply | None:
            if response.no_logprobs and self.logprobs:
                return None
            reply = reply_of(response.body, response.reason)
            if response.body is not None and reply.reason:
                self.client.health.unreadable(reply.reason)
            return reply

        replies = self.client.complete([(CHAT, self._request(c, maximum_tokens)) for c in conversations], use)
        refused = [place for place, reply in enumerate(replies) if reply is None]
        if refused:
            self.logprobs = False
            again = self.ask([conversations[place] for place in refused], maximum_tokens=maximum_tokens)
            for place, reply in zip(refused, again, strict=True):
                replies[place] = reply
        return [reply or Reply(reason="no reply") for reply in replies]

    def _request(self, messages: list[Message], maximum_tokens: int) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": maximum_tokens,
            "temperature": 0,
        }
        return request | ({"logprobs": True, "top_logprobs": 20} if self.logprobs else {})


class ServerSimulator:
    """A `Simulator` on a server; one request per window."""

    def __init__(self, client: Client, model: str, mode: str = "auto") -> None:
        self.client, self.model = client, model
        self.mode = known_name(mode, MODES, "mode")
        self.name = f"openai:{model}"
        self._refused = False

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]:
        """Every window; where log-probabilities are refused and the mode is ``auto``, again as JSON, with a note."""
        places = [place for place, task in enumerate(tasks) if task.explanation.is_defined]
        out = [Simulation.failed(len(task.strings), task.explanation.reason or "no explanation") for task in tasks]
        refused = self._run(tasks, places, "json" if self.mode == "auto" and self._refused else self.mode, out)
        if refused:
            self._refused = True
            self._run(tasks, refused, "json", out)
        return out

    def _run(self, tasks: Sequence[Task], places: Sequence[int], mode: str, out: list[Simulation]) -> list[int]:
        """Simulate the tasks at ``places`` into ``out``; returns those whose log-probabilities were refused."""
        may_fall_back = self.mode == "auto" and mode != "json"
        refused: list[int] = []

        def use(number: int, response: Response) -> None:
            place = places[number]
            if may_fall_back and response.no_logprobs:
                refused.append(place)
                return
            fell_back = mode == "json" and self.mode == "auto"
            found = self._parse(tasks[place], mode, response.body, response.reason, fell_back=fell_back)
            if response.body is not None and found.reason:
                self.client.health.unreadable(found.reason)
            out[place] = found

        self.client.complete([self._request(tasks[place], mode) for place in places], use)
        return refused

    def _request(self, task: Task, mode: str) -> tuple[str, dict[str, Any]]:
        words = [visible(token) for token in task.strings]
        head = f"Explanation: {task.explanation.text}\n"
        if mode == "all-at-once":
            prompt = all_at_once_prompt(task)
            request = {"model": self.model, "prompt": prompt, "max_tokens": 1, "echo": True, "logprobs": 20}
            return COMPLETIONS, request | {"temperature": 0}
        tokens = "\n".join(f"{number}: {word}" for number, word in enumerate(words, start=1))
        user = {"role": "user", "content": f"{head}Tokens:\n{tokens}"}
        name = "simulate_json" if mode == "json" else "simulate_lines"
        request = {
            "model": self.model,
            "messages": [*load_prompt(name), user],
            "max_tokens": TOKENS_PER_ANSWER * len(words) + 16,
            "temperature": 0,
        }
        if mode == "json":
            numbers = [str(number) for number in range(1, len(words) + 1)]
            schema = {"type": "object", "properties": dict.fromkeys(numbers, {"type": "integer"}), "required": numbers}
            return CHAT, request | {"response_format": schema_format(schema | {"additionalProperties": False})}
        return CHAT, request | {"logprobs": True, "top_logprobs": 20}

    def _parse(
        self, task: Task, mode: str, body: dict[str, Any] | None, reason: str | None, *, fell_back: bool
    ) -> Simulation:
        n_tokens = len(task.strings)
        if body is None:
            return Simulation.failed(n_tokens, reason or "no reply")
        if mode == "all-at-once":
            return parse_prompt_logprobs(body, n_tokens, PLACEHOLDER)
        reply = reply_of(body, reason)
        if reply.reason:
            return Simulation.failed(n_tokens, reply.reason)
        simulation = parse_json_levels(reply.text, n_tokens) if mode == "json" else parse_lines(reply, n_tokens)
        if fell_back:
            notes = (*simulation.notes, "log-probabilities refused: asked for JSON")
            return Simulation(simulation.values, simulation.outside, simulation.reason, notes)
        return simulation


def all_at_once_prompt(task: Task) -> str:
    """One text that asks for every token of a window: the same word stands in every slot [B23]."""
    words = [visible(token) for token in task.strings]
    told = "\n\n".join(message["content"] for message in load_prompt("simulate"))
    slots = "".join(f"{word}\t{PLACEHOLDER}\n" for word in words)
    return f"{told}\n\nExplanation: {task.explanation.text}\nText: {''.join(words)}\n\n{slots}"
