"""`explain` with a server that explains, simulates and judges, through the command: exit status, line, and results."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from eval.explanation.servers import journal
from llm_codes.__main__ import main
from tests.eval.explanation.batch_server import serve_batches
from tests.eval.explanation.server import Action, chat, failure, serve


@pytest.fixture
def ask_a_server(tiny_model_folder: Path, text_folder: Path, tmp_path: Path):
    """Run `explain` with a server that explains and simulates: (exit status, results or None)."""

    def run(behave, *arguments: str) -> tuple[int, dict | None]:
        with serve(behave) as server:
            status = main(
                f"explain --model {tiny_model_folder} --corpus {text_folder} --tokens 9000 --window 32 --per-layer 2 "
                f"--layers 0 --units neuron --controls shuffled --scorers detection --random-windows 4 --top-windows 2 "
                f"--explainer openai:m --simulator openai:m --mode json --base-url {server.url} --retries 0 --no-probe "
                f"--out {tmp_path / 'run'}".split()
                + list(arguments)
            )
        path = tmp_path / "run" / "results.json"
        return status, json.loads(path.read_text()) if path.exists() else None

    return run


def reply_to(request) -> str:
    text = request["messages"][-1]["content"]
    if "Tokens:\n" in text:
        return json.dumps({str(n): n % 3 for n in range(1, text.count("\n") + 1)})
    return "words about war" if "Strongest:" in text else "yes"


def test_a_server_that_answers_everything_ends_with_0(ask_a_server) -> None:
    status, results = ask_a_server(lambda request, before: chat(reply_to(request)))
    assert status == 0 and results is not None and results["missing_predictions"] == 0


def test_a_run_with_missing_predictions_says_how_many_and_ends_with_4(ask_a_server, capsys) -> None:
    asked = []

    def behave(request, before):
        asked.append(request)
        return failure(500, "on fire") if len(asked) == 9 else chat(reply_to(request))

    status, results = ask_a_server(behave, "--max-failures", "0.5", "--concurrency", "1")
    assert status == 4 and results is not None and results["missing_predictions"] == 32
    assert "32 predictions of 1 of 4 units are missing" in capsys.readouterr().err
    status, results = ask_a_server(lambda request, before: chat(reply_to(request)))  # only the lost one is asked again
    assert status == 0 and results is not None and results["missing_predictions"] == 0
    assert results["cost"]["requests"] == 1


def test_a_run_in_batches_asks_a_condition_at_a_time(ask_a_server) -> None:
    with serve_batches(lambda request, before: chat(reply_to(request))) as server:
        arguments = ("--base-url", server.url, "--batch", "--layers", ":")
        status, results = ask_a_server(None, *arguments)
        assert status == 0 and results is not None and results["missing_predictions"] == 0
        # two conditions with two layers each: words, simulations, and the judge's questions; not one of each a layer
        assert len(server.batches) == 6 and not server.live
        again, _ = ask_a_server(None, *arguments)
        assert again == 0 and len(server.batches) == 6


def test_an_unreachable_server_ends_with_3(ask_a_server, capsys) -> None:
    status, results = ask_a_server(None, "--base-url", "http://127.0.0.1:9/v1")
    assert status == 3 and results is None
    assert "no server answers at http://127.0.0.1:9/v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            Action('{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}', 429),
            "127.0.0.1 reports no quota left (HTTP 429: You exceeded your quota); top it up; every reply so far",
        ),
        (
            chat(None, reasoning_content="we think"),
            "requests failed (last: the reply holds reasoning and no answer (raise the token limit, or use a",
        ),
        (failure(403, "flagged by moderation"), "requests failed (last: HTTP 403: flagged by moderation), more than"),
        (Action("", 204), "requests failed (last: HTTP 204: the server answered without a reply), more than"),
        (
            chat("quite strongly"),
            "requests failed (last: no number in the reply), more than --max-failures 0.05 allows",
        ),
    ],
)
def test_what_no_further_request_can_mend_ends_with_3_and_one_line(ask_a_server, capsys, answer, line: str) -> None:
    """After the explanations, every simulation fails."""
    status, results = ask_a_server(
        lambda request, before: answer if "Tokens:" in request["messages"][-1]["content"] else chat(reply_to(request)),
        *("--random-windows", "6"),
    )
    told = [one for one in capsys.readouterr().err.splitlines() if line in one]
    assert status == 3 and results is None and len(told) == 1


def test_a_journal_that_another_process_holds_locked_ends_with_3_and_one_line(
    ask_a_server, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(journal.Journal.__init__, "__kwdefaults__", {"wait": 0.2})
    path = tmp_path / "journal.sqlite"
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def behave(request, before):
        if "Tokens:" in request["messages"][-1]["content"] and not held.in_transaction:
            held.execute("BEGIN IMMEDIATE")
        return chat(reply_to(request))

    status, results = ask_a_server(behave, "--journal", str(path))
    error = capsys.readouterr().err
    assert status == 3 and results is None and "Traceback" not in error
    assert sum("another process holds the journal" in line for line in error.splitlines()) == 1
    held.execute("ROLLBACK")
    status, results = ask_a_server(lambda request, before: chat(reply_to(request)), "--journal", str(path))
    assert status == 0 and results is not None and results["missing_predictions"] == 0


def test_each_role_has_its_own_server_key_and_price(ask_a_server, tmp_path, capsys, monkeypatch) -> None:
    for role in ("EXPLAINER", "JUDGE"):
        monkeypatch.setenv(f"{role}_KEY", f"sk-{role}")

    def of(role: str):
        """Refuses what another role should have asked."""

        def behave(request, before):
            text = request["messages"][-1]["content"]
            own = {"Strongest:": "explainer", "Tokens:": "simulator", "\nText:": "judge"}
            wrong = [mark for mark, name in own.items() if mark in text and name != role]
            return failure(400, f"not mine: {wrong}") if wrong else chat(reply_to(request))

        return behave

    with serve(of("explainer")) as explainer, serve(of("judge")) as judge:
        status, results = ask_a_server(
            of("simulator"),
            *f"--judge openai:j --shown best --probe --explainer-base-url {explainer.url} "
            f"--explainer-key-variable EXPLAINER_KEY "
            f"--judge-base-url {judge.url} --judge-key-variable JUDGE_KEY --judge-price-input 10000".split(),
        )
    assert status == 0 and results is not None and results["missing_predictions"] == 0
    assert explainer.authorizations == {"Bearer sk-EXPLAINER"} and judge.authorizations == {"Bearer sk-JUDGE"}
    assert {request["model"] for request in judge.requests} == {"j"}
    shown = [request["messages"][-1]["content"] for request in explainer.requests]
    assert sum("Does not fire:" in text for text in shown) == 4  # units in two conditions, one style of three
    told = capsys.readouterr().err
    assert told.count("127.0.0.1, m: no log-probabilities") == 2 and told.count("127.0.0.1, j: no log") == 1
    answered = len(judge.requests) - 1  # the probe is not kept
    assert results["cost"]["usd"] == pytest.approx(answered * 100 * 10000 / 1e6)
    assert "sk-" not in (tmp_path / "run" / "results.json").read_text()
