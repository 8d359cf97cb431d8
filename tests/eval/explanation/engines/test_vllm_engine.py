"""vLLM's offline engine through a stand-in with its interface; refused in one line where it is not installed."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from eval.errors import UserError
from eval.explanation.engines.vllm_engine import VLLMEngine
from eval.explanation.explainers import Explanation
from eval.explanation.servers.journal import Journal
from eval.explanation.servers.journaled import JournaledChat, JournaledSimulator
from eval.explanation.simulators import Task

WORDS = ("We", " saw", " snow", ".")


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class SamplingParams:
    temperature: float = 1.0
    max_tokens: int = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None


@dataclass
class CompletionOutput:
    text: str
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None = None


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput] = field(default_factory=list)


class LLM:
    """Says "words for weather"; sees level 9 after " snow" and 0 elsewhere."""

    calls: list[tuple[str, int]] = []

    def __init__(self, model: str) -> None:
        if model == "broken":
            raise ValueError("No model\nof this name")

    def chat(self, messages: list[Any], sampling_params: SamplingParams, use_tqdm: bool = True) -> list[RequestOutput]:
        self.calls.append(("chat", len(messages)))
        assert sampling_params.temperature == 0 and sampling_params.logprobs == 20 and not use_tqdm
        top = {7: Logprob(math.log(0.9), 1, "words"), 8: Logprob(math.log(0.1), 2, "yes")}
        return [RequestOutput([1], None, [CompletionOutput(" words", [7], [top])]) for _ in messages]

    def generate(
        self, prompts: list[str], sampling_params: SamplingParams, use_tqdm: bool = True
    ) -> list[RequestOutput]:
        self.calls.append(("generate", len(prompts)))
        assert sampling_params.prompt_logprobs == 20 and sampling_params.max_tokens == 1
        return [self._read(prompt) for prompt in prompts]

    def _read(self, prompt: str) -> RequestOutput:
        pieces = re.findall(r"\t|\n|unknown|[^\t\n]+?(?=\t|\n|unknown|$)", prompt)
        steps: list[dict[int, Logprob] | None] = [None]
        for place, piece in enumerate(pieces[1:], start=1):
            step = {place: Logprob(-9.0, 30, piece)}
            if piece == "unknown":
                level = "9" if pieces[place - 2] == " snow" else "0"
                step[10_000] = Logprob(math.log(0.9), 1, level)
            steps.append(step)
        return RequestOutput(list(range(len(pieces))), steps, [CompletionOutput("", [])])


@pytest.fixture
def engine(monkeypatch) -> VLLMEngine:
    stand_in = ModuleType("vllm")
    stand_in.__dict__.update(LLM=LLM, SamplingParams=SamplingParams)
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    LLM.calls = []
    return VLLMEngine("m")


def test_it_answers_many_conversations_in_one_call_with_log_probabilities(engine) -> None:
    replies = engine.ask([[{"role": "user", "content": "?"}]] * 3, maximum_tokens=5)
    assert [reply.text for reply in replies] == ["words"] * 3 and LLM.calls == [("chat", 3)]
    ((token, top),) = replies[0].top_logprobs
    assert token == "words" and top["yes"] == pytest.approx(math.log(0.1)) and engine.ask([], maximum_tokens=1) == []


def test_it_simulates_every_token_of_a_window_from_one_prompt(engine) -> None:
    told, untold = Explanation("words for weather"), Explanation("", reason="it refused")
    found, failed = engine.simulate([Task(told, WORDS), Task(untold, WORDS)])
    assert found.values.tolist() == pytest.approx([0, 0, 9, 0]) and found.outside.tolist() == pytest.approx([0.1] * 4)
    assert failed.reason == "it refused" and LLM.calls == [("generate", 1)]


def test_what_is_kept_in_the_journal_is_not_asked_again(engine) -> None:
    tasks = [Task(Explanation(f"words {n}"), WORDS) for n in range(5)]
    conversations = [[{"role": "user", "content": str(n)}] for n in range(5)]
    with Journal(":memory:") as journal:
        simulator = JournaledSimulator(engine, journal, engine.identity, at_once=2)
        chat = JournaledChat(engine, journal, engine.identity, at_once=4)
        first, replies = simulator.simulate(tasks), chat.ask(conversations, maximum_tokens=5)
        assert LLM.calls == [("generate", 2), ("generate", 2), ("generate", 1), ("chat", 4), ("chat", 1)]
        again = simulator.simulate(tasks)
        assert len(LLM.calls) == 5 and chat.ask(conversations, maximum_tokens=5) == replies
        assert [one.values.tolist() for one in again] == [one.values.tolist() for one in first]


def test_where_it_is_not_installed_or_cannot_load_one_line_says_so(engine, monkeypatch) -> None:
    with pytest.raises(UserError, match="vLLM cannot load 'broken': No model of this name; check the name"):
        VLLMEngine("broken")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"expected the package vllm for vllm:m; .* pip install neural-codes\[vllm\]"):
        VLLMEngine("m")
