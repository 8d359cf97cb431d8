"""Every fault of a server, against a real one on loopback: retries, refusals, budget, replay, the journal."""

from __future__ import annotations

import email.utils
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from eval.errors import StoppedError, UserError
from eval.explanation.explainers import Explanation, parse_explanation
from eval.explanation.servers.chat_simulators import ServerChat, ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings, retry_after
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task
from tests.eval.explanation.server import Action, chat, failure, serve

WORDS = ("We", " saw", " snow", ".")
TASK = Task(Explanation("words for weather"), WORDS)
GOOD = chat('{"1": 0, "2": 0, "3": 9, "4": 0}')


def make_client(url: str, journal: Journal, **options) -> Client:
    options = {"base_delay": 0.01, "retries": 3, "timeout": 5.0} | options
    return Client(ClientSettings(base_url=url, **options), journal, key="sk-secret-key")


def simulate(tmp_path: Path, behave, task: Task = TASK, mode: str = "json", **options):
    """One window through a misbehaving server: (simulation, server, client)."""
    with serve(behave) as server, Journal(tmp_path / "journal.sqlite") as journal:
        client = make_client(server.url, journal, **options)
        (found,) = ServerSimulator(client, "m", mode).simulate([task])
        return found, server, client


def first(bad: Action, then: Action = GOOD):
    return lambda request, before: bad if before == 0 else then


@pytest.mark.parametrize(
    "bad",
    [failure(429), failure(500), failure(503), Action(GOOD.body, cut=True), Action("{not json"), Action("[]")],
    ids=["429", "500", "503", "cut", "not JSON", "not an object"],
)
def test_passing_faults_are_retried(tmp_path: Path, bad: Action) -> None:
    found, server, _ = simulate(tmp_path, first(bad))
    assert found.values.tolist() == [0, 0, 9, 0] and len(server.requests) == 2


def test_retry_after_is_honoured_in_seconds(tmp_path: Path) -> None:
    found, server, _ = simulate(tmp_path, first(failure(429, retry_after="0.6")))
    assert found.reason is None and server.times[1] - server.times[0] >= 0.6


def test_retry_after_reads_seconds_dates_and_nonsense() -> None:
    now = 1_700_000_000.0
    assert retry_after("7", now) == 7.0 and retry_after("-3", now) == 0.0
    assert retry_after(email.utils.formatdate(now + 30, usegmt=True), now) == pytest.approx(30, abs=1)
    assert retry_after("soon", now) is None and retry_after(None, now) is None


def test_a_hung_connection_times_out_and_is_retried(tmp_path: Path) -> None:
    hung = Action(GOOD.body, delay=3.0)
    found, server, _ = simulate(tmp_path, first(hung), timeout=0.5)
    assert found.values.tolist() == [0, 0, 9, 0] and len(server.requests) == 2


def test_a_server_that_never_recovers_fails_with_the_reason_and_is_not_journaled(tmp_path: Path) -> None:
    found, server, client = simulate(tmp_path, lambda request, before: failure(500, "on fire"), retries=2)
    assert found.reason == "gave up after 3 attempts: HTTP 500: on fire"
    assert np.isnan(found.values).all() and len(server.requests) == 3 and client.failed == 1
    found, server, _ = simulate(tmp_path, lambda request, before: GOOD)
    assert found.reason is None and len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_fails_at_once_without_showing_it(tmp_path: Path, status: int) -> None:
    with pytest.raises(UserError, match=f"refused the key \\(HTTP {status}\\)") as caught:
        simulate(tmp_path, lambda request, before: failure(status))
    assert "sk-secret" not in str(caught.value)


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="HTTP 404 for /chat/completions and model 'm'; check --base-url"):
        simulate(tmp_path, lambda request, before: failure(404))


def test_no_key_for_a_remote_server_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal, pytest.raises(UserError, match="OPENAI_API_KEY, found none"):
        Client(ClientSettings(), journal, key=None)


NAN = math.nan


@pytest.mark.parametrize(
    ("content", "values", "note"),
    [
        ('{"1": 0, "2": 3, "3": 1', [0, 3, NAN, NAN], "truncated or invalid JSON: valid prefix kept"),
        ('{"1": 0, "2": 3}', [0, 3, NAN, NAN], "fewer values than tokens"),
        ('{"1": 0, "2": 3, "3": 9, "4": 0, "5": 7}', [0, 3, 9, 0], "more values than tokens"),
        ('{"1": 0, "2": "high", "3": 9, "4": 0}', [0, NAN, 9, 0], "text instead of a number"),
        ('Sure!\n```json\n{"1": 0, "2": 3, "3": 99, "4": -1}\n```', [0, 3, 10, 0], None),
        ("[0, 3, 9, 0]", [0, 3, 9, 0], None),
        ("[0, 3, 9, 1", [0, 3, 9, NAN], "truncated or invalid JSON: valid prefix kept"),
        ("[0, 3, 9, 0, 4, 4]", [0, 3, 9, 0], "more values than tokens"),
    ],
)
def test_defective_json_keeps_what_is_valid(tmp_path: Path, content: str, values: list, note: str | None) -> None:
    found, _, _ = simulate(tmp_path, lambda request, before: chat(content))
    np.testing.assert_array_equal(found.values, values)
    assert note is None or note in found.notes
    assert found.missing == sum(math.isnan(value) for value in values)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (chat(""), "empty reply"),
        (chat(None), "empty reply"),
        (chat("I'm sorry, but I can't help with that."), "the simulator refused"),
        (chat(None, refusal="not that"), "refused: not that"),
        (chat("quite strongly"), "no number in the reply"),
        (Action('{"choices": []}'), "the reply holds no message"),
    ],
)
def test_answers_without_numbers_are_a_status_not_a_score(tmp_path: Path, answer: Action, reason: str) -> None:
    found, server, _ = simulate(tmp_path, lambda request, before: answer)
    assert found.reason == reason and np.isnan(found.values).all() and len(server.requests) == 1


def with_logprobs(lines: list[tuple[str, dict[str, float]]]) -> Action:
    entries, text = [], ""
    for number, (level, top) in enumerate(lines, start=1):
        for token, found in ((f"{number}:", {}), (" ", {}), (level, top), ("\n", {})):
            tops = [{"token": word, "logprob": math.log(p)} for word, p in found.items()]
            entries.append({"token": token, "logprob": 0.0, "top_logprobs": tops})
            text += token
    body = {"choices": [{"message": {"content": text}, "logprobs": {"content": entries}}]}
    return Action(json.dumps(body))


def test_log_probabilities_give_expected_values_and_the_mass_outside(tmp_path: Path) -> None:
    answer = with_logprobs(
        [("0", {"0": 1.0}), ("0", {"0": 0.5, "4": 0.25, "x": 0.25}), ("10", {"10": 0.75, "8": 0.25}), ("0", {"0": 1.0})]
    )
    found, server, _ = simulate(tmp_path, lambda request, before: answer, mode="logprobs")
    assert found.values.tolist() == pytest.approx([0, 4 / 3, 9.5, 0])
    assert found.outside is not None and found.outside.tolist() == pytest.approx([0, 0.25, 0, 0], abs=1e-9)
    assert server.requests[0]["logprobs"] is True and server.requests[0]["top_logprobs"] == 20


def test_refused_log_probabilities_fall_back_to_json_for_the_rest_of_the_run(tmp_path: Path) -> None:
    def behave(request, before):
        return failure(400, "logprobs are not supported") if "logprobs" in request else GOOD

    with serve(behave) as server, Journal(tmp_path / "journal.sqlite") as journal:
        simulator = ServerSimulator(make_client(server.url, journal), "m", "auto")
        (found,) = simulator.simulate([TASK])
        assert found.values.tolist() == [0, 0, 9, 0]
        assert found.notes == ("log-probabilities refused: asked for JSON",)
        simulator.simulate([Task(Explanation("another"), WORDS)])
        assert ["logprobs" in request for request in server.requests] == [True, False, False]


def test_echoed_prompt_log_probabilities_are_read_at_the_slots(tmp_path: Path) -> None:
    def behave(request, before):
        tokens, tops = [], []
        for piece in request["prompt"].replace("\tunknown\n", "\x00").split("\x00")[:-1]:
            tokens += [piece, "\t", "unknown", "\n"]
            tops += [None, None, {"5": math.log(0.5), "7": math.log(0.5)}, None]
        return Action(json.dumps({"choices": [{"text": "", "logprobs": {"tokens": tokens, "top_logprobs": tops}}]}))

    found, server, _ = simulate(tmp_path, behave, mode="all-at-once")
    assert found.values.tolist() == pytest.approx([6.0] * 4)
    assert server.requests[0]["echo"] is True and len(server.requests) == 1


def test_awkward_tokens_reach_the_server_escaped_and_come_back_aligned(tmp_path: Path) -> None:
    task = Task(Explanation("x"), ("a\tb", "\n", "\ufffd", "\x00", '"}', "</script>", ""))
    answer = chat(json.dumps({str(n): n for n in range(1, 8)}))
    found, server, _ = simulate(tmp_path, lambda request, before: answer, task)
    assert found.values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    lines = server.requests[0]["messages"][-1]["content"].split("Tokens:\n")[1].split("\n")
    assert lines == ["1: a\\tb", "2: \\n", "3: \ufffd", "4: \\u0000", '5: "}', "6: </script>", "7: \\0"]


def test_explainer_faults_are_reasons(tmp_path: Path) -> None:
    answers = {"a": chat("  "), "b": chat("I cannot help"), "c": chat("words for war\nand more")}
    with (
        serve(lambda request, before: answers[request["messages"][0]["content"]]) as server,
        Journal(tmp_path / "j") as journal,
    ):
        asked = ServerChat(make_client(server.url, journal), "m").ask(
            [[{"role": "user", "content": name}] for name in "abc"], maximum_tokens=9
        )
    found = [parse_explanation(reply) for reply in asked]
    assert found[0].reason == "the explainer answered with nothing"
    assert found[1].reason == "the explainer refused: I cannot help"
    assert found[2].text == "words for war"


def test_the_same_request_is_paid_once_and_the_key_is_nowhere(tmp_path: Path) -> None:
    with serve(lambda request, before: GOOD) as server:
        for _ in range(2):
            with Journal(tmp_path / "journal.sqlite") as journal:
                client = make_client(server.url, journal)
                ServerSimulator(client, "m", "json").simulate([TASK, TASK])
        assert len(server.requests) == 1 and client.from_journal == 2 and client.sent == 0
        assert server.authorizations == {"Bearer sk-secret-key"}
    for path in tmp_path.iterdir():
        assert b"sk-secret" not in path.read_bytes()


def test_replay_sends_nothing_and_names_what_is_missing(tmp_path: Path) -> None:
    with serve(lambda request, before: GOOD) as server, Journal(tmp_path / "journal.sqlite") as journal:
        ServerSimulator(make_client(server.url, journal), "m", "json").simulate([TASK])
        replayed = ServerSimulator(make_client(server.url, journal, replay=True), "m", "json")
        assert replayed.simulate([TASK])[0].values.tolist() == [0, 0, 9, 0]
        with pytest.raises(UserError, match="1 of 1 are missing; run once without --replay"):
            replayed.simulate([Task(Explanation("new"), WORDS)])
        assert len(server.requests) == 1


def test_a_dry_run_sends_nothing_and_counts(tmp_path: Path) -> None:
    with serve(lambda request, before: GOOD) as server, Journal(tmp_path / "journal.sqlite") as journal:
        client = make_client(server.url, journal, dry_run=True, price_input=1.0)
        (found,) = ServerSimulator(client, "m", "json").simulate([TASK])
        assert found.reason == "dry run" and len(client.planned) == 1 and not server.requests


def test_the_budget_stops_cleanly_and_a_higher_one_continues(tmp_path: Path) -> None:
    tasks = [Task(Explanation(f"explanation {n}"), WORDS) for n in range(30)]
    prices = {"price_input": 1000.0, "price_output": 1000.0, "concurrency": 2}  # a reply costs $0.11
    with serve(lambda request, before: GOOD) as server:
        with Journal(tmp_path / "journal.sqlite") as journal:
            client = make_client(server.url, journal, budget_usd=2.0, **prices)
            with pytest.raises(StoppedError, match=r"the budget of \$2 is reached .* higher --budget-usd to continue"):
                ServerSimulator(client, "m", "json").simulate(tasks)
            spent = client.cost()["usd"]
            assert 0 < spent <= 2.0 and len(journal) == len(server.requests) < 30
        with Journal(tmp_path / "journal.sqlite") as journal:
            client = make_client(server.url, journal, budget_usd=100.0, **prices)
            found = ServerSimulator(client, "m", "json").simulate(tasks)
        assert all(one.reason is None for one in found) and len(server.requests) == 30


def test_concurrency_is_bounded(tmp_path: Path) -> None:
    tasks = [Task(Explanation(f"explanation {n}"), WORDS) for n in range(24)]
    slow = Action(GOOD.body, delay=0.05)
    with serve(lambda request, before: slow) as server, Journal(tmp_path / "j") as journal:
        ServerSimulator(make_client(server.url, journal, concurrency=4), "m", "json").simulate(tasks)
    assert server.peak == 4


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like something" * 40)
    with pytest.raises(UserError, match="expected an SQLite journal at .*notes.txt"):
        Journal(path)


VICTIM = """
import sys
from pathlib import Path
from eval.explanation.servers.chat_simulators import ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.explainers import Explanation
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task
url, path = sys.argv[1:]
with Journal(path) as journal:
    client = Client(ClientSettings(base_url=url, concurrency=4), journal)
    tasks = [Task(Explanation(f"explanation {n}"), ("a", " b")) for n in range(60)]
    found = ServerSimulator(client, "m", "json").simulate(tasks)
sys.stdout.write(repr([one.values.tolist() for one in found]))
"""


def test_kill_9_then_rerun_repeats_no_answered_request_and_gives_the_same_table(tmp_path: Path) -> None:
    def behave(request, before):
        number = int(request["messages"][-1]["content"].split()[2])
        return Action(chat(json.dumps({"1": number % 11, "2": 0})).body, delay=0.02)

    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    with serve(behave) as server:
        command = [sys.executable, "-c", VICTIM, server.url, str(tmp_path / "journal.sqlite")]
        victim = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(server.requests) < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        with Journal(tmp_path / "journal.sqlite") as journal:
            kept = len(journal)
        before = len(server.requests)
        assert 0 < kept < 60
        rerun = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        assert len(server.requests) - before == 60 - kept  # only what the journal lacks
        assert before - kept <= 4  # at most the requests that were under way
        assert json.loads(rerun.stdout) == [[float(n % 11), 0.0] for n in range(60)]
        again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        assert again.stdout == rerun.stdout and len(server.requests) - before == 60 - kept
