"""What a probe finds on servers of all kinds, what it says, and that a schema is asked for where it is obeyed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.explanation.explainers import Explanation
from eval.explanation.servers.chat_simulators import ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task
from tests.eval.explanation.server import Action, chat, failure, serve

TASK = Task(Explanation("words for weather"), ("We", " the"))
TOP = [{"token": f"t{n}", "logprob": -1.0 - n} for n in range(20)]


def server_that(*, top: int = 20, refuses: tuple[str, ...] = (), schema: bool = True, named: bool = True, **message):
    """Answers with so many log-probabilities, obeys a schema or not, refuses parameters (by name or not)."""

    def behave(request, before) -> Action:
        text = json.dumps(request)
        for name in refuses:
            if f'"{name}"' in text:
                return failure(400, f"Unsupported parameter: {name}" if named else "bad request")
        if "Tokens:" in text:
            return chat('{"1": 0, "2": 10}')
        content = '{"1": 3}' if schema and "response_format" in request else "hello"
        answer = json.loads(chat(content, **message).body)
        if request.get("logprobs"):
            count = min(top, request["top_logprobs"])
            answer["choices"][0]["logprobs"] = {"content": [{"token": "{", "top_logprobs": TOP[:count]}]}
        if "prompt_logprobs" in request:
            answer["prompt_logprobs"] = [None, {}]
        return Action(json.dumps(answer))

    return behave


def probed(tmp_path: Path, behave, caplog):
    """(abilities, line, requests) of a client that probes before it simulates one window."""
    with serve(behave) as server, Journal(tmp_path / "j") as journal, caplog.at_level("INFO"):
        client = Client(ClientSettings(base_url=server.url, probe=True, retries=0, base_delay=0.01), journal, key="k")
        simulator = ServerSimulator(client, "m", "json")
        (found,) = simulator.simulate([TASK])
        simulator.simulate([Task(Explanation("other"), TASK.strings)])
        assert found.values.tolist() == [0, 10]
        assert len(journal) == 2  # the probe is not kept
    return client.abilities["m"], caplog.text, server.requests


def test_a_server_that_can_everything_is_asked_once_and_then_with_a_schema(tmp_path: Path, caplog) -> None:
    found, line, requests = probed(tmp_path, server_that(), caplog)
    assert found is not None and found.logprobs == 20 and found.json_schema and found.prompt_logprobs
    assert "127.0.0.1, m: 20 log-probabilities a token, prompt log-probabilities, a system role, a JSON schema" in line
    assert len(requests) == 3 and requests[0]["prompt_logprobs"] == 1
    assert requests[1]["response_format"]["json_schema"]["schema"]["required"] == ["1", "2"]


@pytest.mark.parametrize("named", [True, False])
def test_what_is_refused_is_given_up_and_never_asked_for_again(tmp_path: Path, caplog, named: bool) -> None:
    refuses = ("prompt_logprobs", "response_format", "logprobs")
    found, line, requests = probed(tmp_path, server_that(refuses=refuses, named=named), caplog)
    assert found is not None and (found.logprobs, found.json_schema, found.prompt_logprobs) == (0, False, False)
    assert "no log-probabilities, no prompt log-probabilities, a system role, no JSON schema, max_tokens" in line
    assert not any("response_format" in request for request in requests[-2:])


def test_a_schema_accepted_in_silence_and_not_obeyed_is_none(tmp_path: Path, caplog) -> None:
    found, _, requests = probed(tmp_path, server_that(schema=False, top=5), caplog)
    assert found is not None and not found.json_schema and found.logprobs == 5
    assert "response_format" not in requests[-1]


def test_a_reasoning_model_and_its_parameter_are_found(tmp_path: Path, caplog) -> None:
    behave = server_that(refuses=("max_tokens", "temperature"), reasoning_content="hm")

    def asks_for_the_other(request, before):
        if "max_tokens" in request:
            return failure(400, "Unsupported parameter: use 'max_completion_tokens'")
        return behave(request, before)

    found, line, requests = probed(tmp_path, asks_for_the_other, caplog)
    assert found is not None and found.completion_limit and found.reasoning
    assert "max_completion_tokens, reasons" in line and "temperature" not in requests[-1]
    assert requests[-1]["max_completion_tokens"] > 4000


def test_a_system_role_that_is_refused_is_found(tmp_path: Path, caplog) -> None:
    behave = server_that()

    def refuse(request, before):
        if request["messages"][0]["role"] == "system":
            return failure(400, "System role not supported")
        return behave(request, before)

    found, line, requests = probed(tmp_path, refuse, caplog)
    assert found is not None and not found.system_role and "no system role" in line
    assert requests[-1]["messages"][0]["role"] == "user"


def test_a_probe_without_an_answer_stops_nothing(tmp_path: Path, caplog) -> None:
    def behave(request, before):
        return failure(503, "busy") if "Say hello." in json.dumps(request) else chat('{"1": 0, "2": 10}')

    found, line, _ = probed(tmp_path, behave, caplog)
    assert found is None and "127.0.0.1, m: a probe brought no answer (HTTP 503)" in line
