"""What a server refuses is learnt once: the same request goes again in a form that it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.explanation.explainers import Explanation
from eval.explanation.servers.chat_simulators import ServerChat, ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.dialect import REASONING_TOKENS, Dialect, Lesson
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task
from tests.eval.explanation.server import Action, chat, failure, serve

WORDS = ("We", " the")
GOOD = chat('{"1": 0, "2": 10}')
LINES = chat("1: 0\n2: 10")


def run(tmp_path: Path, behave, mode: str = "json", n: int = 2):
    """n windows, one at a time: (simulations, what the server was asked, client)."""
    with serve(behave) as server, Journal(tmp_path / "j") as journal:
        settings = ClientSettings(base_url=server.url, retries=2, base_delay=0.01, concurrency=1)
        client = Client(settings, journal, key="k")
        tasks = [Task(Explanation(f"explanation {i}"), WORDS) for i in range(n)]
        return ServerSimulator(client, "m", mode).simulate(tasks), server.requests, client


def refusing(name: str, message: str, status: int = 400, then: Action = GOOD):
    return lambda request, before: failure(status, message) if name in json.dumps(request) else then


UNSUPPORTED = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)


def test_max_completion_tokens_is_learnt_and_remembered(tmp_path: Path) -> None:
    found, asked, _ = run(tmp_path, refusing('"max_tokens"', UNSUPPORTED))
    assert [one.values.tolist() for one in found] == [[0, 10], [0, 10]]
    assert ["max_tokens" in request for request in asked] == [True, False, False]
    assert asked[1]["max_completion_tokens"] == asked[0]["max_tokens"] + REASONING_TOKENS


def test_temperature_is_left_out_where_it_is_refused(tmp_path: Path) -> None:
    message = "Unsupported value: 'temperature' does not support 0 with this model."
    found, asked, _ = run(tmp_path, refusing('"temperature"', message))
    assert all(one.reason is None for one in found)
    assert ["temperature" in request for request in asked] == [True, False, False]


def test_a_refused_system_role_moves_into_the_first_user_message(tmp_path: Path) -> None:
    found, asked, _ = run(tmp_path, refusing('"system"', "System role not supported"))
    assert all(one.reason is None for one in found) and len(asked) == 3
    before, after = asked[0]["messages"], asked[1]["messages"]
    assert after[0]["role"] == "user" and len(after) == len(before) - 1
    assert after[0]["content"] == f"{before[0]['content']}\n\n{before[1]['content']}"


def test_several_refusals_are_learnt_one_after_the_other(tmp_path: Path) -> None:
    def behave(request, before):
        for name, message in (("max_tokens", UNSUPPORTED), ("temperature", "temperature is not supported")):
            if name in request:
                return failure(400, message)
        return failure(400, "no system role") if request["messages"][0]["role"] == "system" else GOOD

    found, asked, client = run(tmp_path, behave)
    assert all(one.reason is None for one in found) and len(asked) == 5 and client.health.failed == 0


@pytest.mark.parametrize("status", [400, 403, 422, 500, 501])
@pytest.mark.parametrize("message", ["logprobs are not supported", "no"])
def test_refused_log_probabilities_go_without(tmp_path: Path, status: int, message: str) -> None:
    found, asked, client = run(tmp_path, refusing('"logprobs"', message, status), "auto")
    assert all(one.values.tolist() == [0, 10] for one in found)
    assert all("log-probabilities refused: asked for JSON" in one.notes for one in found)
    assert client.health.failed == 0 and not any("logprobs" in request for request in asked[-2:])


@pytest.mark.parametrize(
    "message", ["top_logprobs must be at most 5", "Invalid top_logprobs: 20 is not in [0, 5]", "top_logprobs too big"]
)
def test_fewer_log_probabilities_are_asked_for_where_few_are_given(tmp_path: Path, message: str) -> None:
    def behave(request, before):
        return failure(400, message) if request.get("top_logprobs", 0) > 5 else LINES

    found, asked, _ = run(tmp_path, behave, "auto")
    assert all(one.values.tolist() == [0, 10] and not one.notes for one in found)
    assert [request["top_logprobs"] for request in asked] == [20, 5, 5]


def test_a_judge_goes_without_log_probabilities_too(tmp_path: Path) -> None:
    with serve(refusing('"logprobs"', "no", 501, chat("yes"))) as server, Journal(tmp_path / "j") as journal:
        client = Client(ClientSettings(base_url=server.url), journal, key="k")
        replies = ServerChat(client, "m", logprobs=True).ask([[{"role": "user", "content": "?"}]], maximum_tokens=2)
    assert replies[0].text == "yes"


def test_a_reply_cut_off_while_reasoning_gets_room_once(tmp_path: Path) -> None:
    def behave(request, before):
        if request["max_tokens"] > REASONING_TOKENS:
            return GOOD
        choice = {"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "length"}
        return Action(json.dumps({"choices": [choice]}))

    found, asked, _ = run(tmp_path, behave)
    assert all(one.reason is None for one in found) and len(asked) == 3


def test_a_400_of_one_request_teaches_nothing_and_fails_alone(tmp_path: Path) -> None:
    behave = refusing("explanation 1", "the content was filtered")
    found, asked, client = run(tmp_path, behave, n=3)
    assert [one.reason for one in found] == [None, "HTTP 400: the content was filtered", None]
    assert len(asked) == 3 and client.health.failed == 1


def test_an_overlong_limit_is_not_another_parameter() -> None:
    dialect = Dialect()
    request = {"messages": [], "max_tokens": 9}
    lesson = dialect.learn(request, request, 400, "max_tokens is too large: at most 4", 0)
    assert lesson is Lesson.NOTHING and dialect.translate(request) == request
