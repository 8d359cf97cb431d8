"""What ends a run, with which exit status, and what does not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from eval.errors import StoppedError, UserError
from eval.explanation.explainers import Explanation
from eval.explanation.servers.chat_simulators import ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.health import Health, error_text
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task
from tests.eval.explanation.server import Action, chat, failure, serve

WORDS = ("We", " the")
GOOD = chat('{"1": 0, "2": 10}')


def tasks(n: int) -> list[Task]:
    return [Task(Explanation(f"explanation {i:03d}"), WORDS) for i in range(n)]


def number(request) -> int:
    return int(request["messages"][-1]["content"].split()[2])


def simulate(tmp_path: Path, behave, n: int, **options):
    with serve(behave) as server, Journal(tmp_path / "j") as journal:
        settings = {"retries": 1, "base_delay": 0.01, "concurrency": 1} | options
        client = Client(ClientSettings(base_url=server.url, **settings), journal, key="sk-secret")
        return ServerSimulator(client, "m", "json").simulate(tasks(n)), server, client


@pytest.mark.parametrize(
    "answer",
    [
        Action('{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}', 429),
        failure(402, "Insufficient credits"),
    ],
)
def test_an_empty_account_stops_at_once_and_keeps_what_came(tmp_path: Path, answer: Action) -> None:
    asked = []

    def behave(request, before):
        asked.append(request)
        return GOOD if number(request) < 3 else answer

    with pytest.raises(
        StoppedError, match=r"no quota left \(HTTP 4.*every reply so far is kept: run the same"
    ) as caught:
        simulate(tmp_path, behave, 30)
    assert caught.value.exit_status == 3 and len(asked) == 4
    with Journal(tmp_path / "j") as journal:
        assert len(journal) == 3


def test_a_429_for_haste_is_retried(tmp_path: Path) -> None:
    found, _, _ = simulate(tmp_path, lambda request, before: GOOD if before else failure(429, "slow down"), 2)
    assert all(one.reason is None for one in found)


def test_one_forbidden_request_after_good_replies_fails_alone_with_the_servers_words(tmp_path: Path) -> None:
    def behave(request, before):
        return failure(403, "flagged by moderation") if number(request) == 2 else GOOD

    found, server, client = simulate(tmp_path, behave, 5)
    assert [one.reason for one in found] == [None, None, "HTTP 403: flagged by moderation", None, None]
    assert client.health.failed == 1 and len(server.requests) == 5


def test_the_first_request_may_be_the_forbidden_one(tmp_path: Path) -> None:
    def behave(request, before):
        return failure(403, "flagged by moderation") if number(request) == 0 else GOOD

    found, _, _ = simulate(tmp_path, behave, 5)
    assert [one.reason is None for one in found] == [False, True, True, True, True]


def test_nothing_but_forbidden_is_the_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="refused the key") as caught:
        simulate(tmp_path, lambda request, before: failure(403), 30)
    assert caught.value.exit_status == 2 and "sk-secret" not in str(caught.value)


def test_201_is_read_and_204_fails_with_its_reason(tmp_path: Path) -> None:
    def behave(request, before):
        return Action(GOOD.body, 201) if number(request) else Action("", 204)

    found, server, _ = simulate(tmp_path, behave, 2)
    assert found[0].reason == "HTTP 204: the server answered without a reply"
    assert found[1].values.tolist() == [0, 10] and len(server.requests) == 2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_nobody_listens_on_stops_at_once(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with Journal(tmp_path / "j") as journal:
        client = Client(ClientSettings(base_url=url, retries=6), journal, key="k")
        with pytest.raises(StoppedError, match=f"no server answers at {url} .*check --base-url") as caught:
            ServerSimulator(client, "m", "json").simulate(tasks(3))
    assert caught.value.exit_status == 3


def test_too_many_failures_stop_the_run_and_the_same_command_continues(tmp_path: Path) -> None:
    def behave(request, before):
        return failure(500, "on fire") if number(request) % 10 == 0 else GOOD

    with pytest.raises(
        StoppedError, match=r"2 of 20 requests failed \(last: .*on fire\), more than --max-failures 0.05"
    ):
        simulate(tmp_path, behave, 100, retries=0)
    found, server, client = simulate(tmp_path, behave, 100, retries=0, max_failures=0.2)
    assert sum(one.reason is not None for one in found) == 10 and client.health.failed == 10
    assert len(server.requests) == 100 - 18  # what was answered before is not asked again


def test_unreadable_replies_count_as_failures(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="of 20 requests failed .last: no number in the reply"):
        simulate(tmp_path, lambda request, before: chat("none"), 100)


def test_the_share_is_judged_from_twenty_requests_on() -> None:
    health = Health("http://localhost", 0.05)
    for _ in range(19):
        health.failed_request("x")
    with pytest.raises(StoppedError, match="20 of 20"):
        health.failed_request("x")


def test_a_servers_words_are_taken_from_wherever_they_stand() -> None:
    assert error_text('{"error": {"message": "a"}}') == "a" and error_text('{"error": "b"}') == "b"
    assert error_text("<p>c\n d</p>") == "<p>c d</p>" and error_text("") == "no text"
