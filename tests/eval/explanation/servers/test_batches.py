"""The batch API against a server on loopback: sent once, waited for, found again after kill -9, paid for once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.errors import StoppedError, UserError
from eval.explanation.explainers import Explanation
from eval.explanation.servers.batch_client import BatchClient
from eval.explanation.servers.batches import chunks
from eval.explanation.servers.chat_simulators import ServerSimulator
from eval.explanation.servers.client import ClientSettings
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task
from tests.eval.explanation.batch_server import serve_batches
from tests.eval.explanation.server import Action, chat, failure

TASKS = [Task(Explanation(f"explanation {n}"), ("a", " b")) for n in range(12)]


def level(request, before: int) -> Action:
    """The number in the explanation, for the first token."""
    number = int(request["messages"][-1]["content"].split()[2])
    return chat(json.dumps({"1": number % 11, "2": 0}))


def simulate(url: str, path: Path, tasks=TASKS, **options):
    with Journal(path) as journal:
        settings = ClientSettings(base_url=url, **{"base_delay": 0.01, "retries": 2} | options)
        client = BatchClient(settings, journal)
        return ServerSimulator(client, "m", "json").simulate(tasks), client


def values(found) -> list[list[float]]:
    return [one.values.tolist() for one in found]


WANTED = [[float(n % 11), 0.0] for n in range(len(TASKS))]


def test_a_batch_is_one_file_and_its_answers_find_their_requests(tmp_path: Path) -> None:
    with serve_batches(level) as server:
        found, client = simulate(server.url, tmp_path / "j")
        again, second = simulate(server.url, tmp_path / "j")
    assert values(found) == values(again) == WANTED and len(server.batches) == 1 and not server.live
    assert [one["url"] for one in server.requests()] == ["/v1/chat/completions"] * len(TASKS)
    assert client.sent == 12 and client.prompt_tokens == 1200 and (second.sent, second.from_journal) == (0, 12)
    batch = next(iter(server.batches.values()))
    assert batch["completion_window"] == "24h" and batch["endpoint"] == "/v1/chat/completions"


def test_what_failed_goes_into_the_next_batch_and_a_refusal_is_a_reason(tmp_path: Path) -> None:
    def behave(request, before):
        number = int(request["messages"][-1]["content"].split()[2])
        if number == 3:
            return failure(400, "moderated")
        return failure(500) if number == 4 and before == 0 else level(request, before)

    with serve_batches(behave) as server:
        found, client = simulate(server.url, tmp_path / "j", max_failures=0.5)
    assert [len(one["lines"]) for one in server.batches.values()] == [12, 1]
    assert found[3].reason == "HTTP 400: moderated" and values(found)[4] == [4.0, 0.0] and client.failed == 1


def test_a_refused_form_is_learnt_and_sent_in_the_next_batch(tmp_path: Path) -> None:
    def behave(request, before):
        told = "use max_completion_tokens instead of max_tokens"
        return failure(400, told) if "max_tokens" in request else level(request, before)

    with serve_batches(behave) as server:
        found, _ = simulate(server.url, tmp_path / "j")
    assert values(found) == WANTED and [len(one["lines"]) for one in server.batches.values()] == [12, 12]


def test_an_expired_batch_keeps_what_it_answered(tmp_path: Path) -> None:
    def behave(request, before):
        number = int(request["messages"][-1]["content"].split()[2])
        return Action(status=0) if number > 5 and before == 0 else level(request, before)

    with serve_batches(behave) as server:
        server.end = "expired"
        found, _ = simulate(server.url, tmp_path / "j")
    assert values(found) == WANTED and [len(one["lines"]) for one in server.batches.values()] == [12, 6]


def test_a_budget_sends_what_it_can_pay_for_and_stops(tmp_path: Path) -> None:
    prices = {"price_input": 1000.0, "price_output": 1000.0}  # a reply costs $0.11
    with serve_batches(level) as server:
        with pytest.raises(StoppedError, match=r"the budget of \$1 is reached"):
            simulate(server.url, tmp_path / "j", budget_usd=1.0, **prices)
        with Journal(tmp_path / "j") as journal:
            assert 0 < len(journal) < 12 and not journal.open_batches()
        found, _ = simulate(server.url, tmp_path / "j", budget_usd=100.0, **prices)
    assert values(found) == WANTED and len(server.requests()) == 12


def test_a_server_without_batches_is_named(tmp_path: Path) -> None:
    with serve_batches(level) as server:
        server.refuse_batches = 404
        with pytest.raises(
            UserError, match="expected a server with OpenAI's batch API, got HTTP 404 .*leave --batch out"
        ):
            simulate(server.url, tmp_path / "j")
        server.refuse_batches = 400
        with pytest.raises(StoppedError, match=r"refused a call of its batch API \(HTTP 400: no batches here\)"):
            simulate(server.url, tmp_path / "j")
        server.refuse_batches = 0
        server.end = "failed"
        with pytest.raises(StoppedError, match="refused batch batch_0: no reason given"):
            simulate(server.url, tmp_path / "j")


def test_a_batch_holds_one_model_and_stays_within_the_limits(monkeypatch) -> None:
    requests = {f"{n}": ("/chat/completions", {"model": "ab"[n % 2], "text": "x" * 10}) for n in range(10)}
    assert [len(one) for one in chunks(requests)] == [5, 5]
    assert {body["model"] for _, body in chunks(requests)[0].values()} == {"a"}
    monkeypatch.setattr("eval.explanation.servers.batches.MOST_REQUESTS", 2)
    assert sorted(len(one) for one in chunks(requests)) == [1, 1, 2, 2, 2, 2]


def test_a_batch_whose_number_was_never_learnt_is_found_by_its_mark(tmp_path: Path) -> None:
    with serve_batches(level, open_gate=False) as server:
        with Journal(tmp_path / "j") as journal:
            known = BatchClient(ClientSettings(base_url=server.url), journal)
            forget = Journal.batch

            def killed(self, mark, keys, number=None):
                forget(self, mark, keys)
                if number:
                    raise KeyboardInterrupt

            with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(Journal, "batch", killed)
                ServerSimulator(known, "m", "json").simulate(TASKS)
            assert [number for _, number, _ in journal.open_batches()] == [None]
        server.gate.set()
        found, _ = simulate(server.url, tmp_path / "j")
    assert values(found) == WANTED and len(server.batches) == 1


VICTIM = """
import sys
from eval.explanation.explainers import Explanation
from eval.explanation.servers.batch_client import BatchClient
from eval.explanation.servers.chat_simulators import ServerSimulator
from eval.explanation.servers.client import ClientSettings
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task
url, path = sys.argv[1:]
with Journal(path) as journal:
    client = BatchClient(ClientSettings(base_url=url, base_delay=0.05), journal)
    tasks = [Task(Explanation(f"explanation {n}"), ("a", " b")) for n in range(12)]
    found = ServerSimulator(client, "m", "json").simulate(tasks)
sys.stdout.write(repr([one.values.tolist() for one in found]))
"""


def test_kill_9_while_a_batch_runs_then_rerun_waits_for_the_same_batch(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4]), "OMP_NUM_THREADS": "1"}
    with serve_batches(level, open_gate=False) as server:
        command = [sys.executable, "-c", VICTIM, server.url, str(tmp_path / "journal.sqlite")]
        victim = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not server.polls and time.monotonic() < deadline:
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        server.gate.set()
        rerun = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(rerun.stdout) == WANTED and len(server.batches) == 1
    assert "batch batch_0, sent before, is waited for" in rerun.stderr
