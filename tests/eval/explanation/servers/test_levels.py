"""Every form in which models write levels, with the right value; a server's reply is read in either mode."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from eval.explanation.explainers import Explanation
from eval.explanation.servers.chat_simulators import ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.journal import Journal
from eval.explanation.servers.levels import levels_in_json, levels_in_lines, number_of
from eval.explanation.simulators import Task
from tests.eval.explanation.server import chat, serve

TASK = Task(Explanation("words for weather"), ("We", " the"))
NAN = math.nan

READ = [
    ("1: We 0\n2:  the 10", [0, 10]),
    ("- 1: 0\n- 2: 10", [0, 10]),
    ("1) 0\n2) 10", [0, 10]),
    ("**1**: 0\n**2**: 10", [0, 10]),
    ("1: 0/10\n2: 10/10", [0, 10]),
    ("| 1 | We | 0 |\n| 2 | the | 10 |", [0, 10]),
    ("Token 1: 0\nToken 2: 10", [0, 10]),
    ("1. We: 0\n2. the: 10", [0, 10]),
    ("1: `We` **0**\n2: `the` **10**", [0, 10]),
    ("1\t0\n2\t10", [0, 10]),
    ("1 0\n2 10", [0, 10]),
    ('{"activations": {"1": 0, "2": 10}}', [0, 10]),
    ('[{"token": 1, "activation": 0}, {"token": 2, "activation": 10}]', [0, 10]),
    ('[{"token": "We", "activation": 0}, {"token": " the", "activation": 10}]', [0, 10]),
    ("[[1, 0], [2, 10]]", [0, 10]),
    ("{'1': 0, '2': 10}", [0, 10]),
    ('```json\n{"1": 0, "2": 10}\n```', [0, 10]),
    ("```\n1: 0\n2: 10\n```", [0, 10]),
    ('{"1": "0/10", "2": "10/10"}', [0, 10]),
    ("<think>1: 5\n2: 5 or so</think>\n1: 0\n2: 10", [0, 10]),
    ('<think>{"1": 5}</think>{"1": 0, "2": 10}', [0, 10]),
    ("so 1: 5 it is</think>\n1: 0\n2: 10", [0, 10]),
    ('[{"token": 1, "activation": 0}, {"token": 2, "activ', [0, NAN]),
]


def simulated(tmp_path: Path, content: object, mode: str, **message):
    with serve(lambda request, before: chat(content, **message)) as server, Journal(tmp_path / "j") as journal:
        client = Client(ClientSettings(base_url=server.url, retries=0), journal, key="k")
        (found,) = ServerSimulator(client, "m", mode).simulate([TASK])
        return found, client


@pytest.mark.parametrize("mode", ["json", "logprobs"])
@pytest.mark.parametrize(("content", "values"), READ)
def test_every_form_is_read_in_either_mode(tmp_path: Path, content: str, values: list[float], mode: str) -> None:
    found, client = simulated(tmp_path, content, mode)
    np.testing.assert_array_equal(found.values, values)
    assert client.health.failed == 0


@pytest.mark.parametrize("mode", ["json", "logprobs"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("3", "no number in the reply"),
        ("null", "no number in the reply"),
        ('"x"', "no number in the reply"),
        ("{}", "no number in the reply"),
        ("<think>1: 5\n2: 5", "the reply holds reasoning and no answer"),
    ],
)
def test_what_holds_no_level_by_token_fails_alone_with_its_reason(tmp_path, content: str, reason: str, mode) -> None:
    found, client = simulated(tmp_path, content, mode)
    assert found.reason is not None and found.reason.startswith(reason)
    assert np.isnan(found.values).all() and client.health.failed == 1


def test_reasoning_without_an_answer_has_one_reason_and_counts_as_failed(tmp_path: Path) -> None:
    found, client = simulated(tmp_path, None, "json", reasoning_content="1: 5 perhaps")
    assert found.reason is not None and found.reason.startswith("the reply holds reasoning and no answer")
    assert client.health.failed == 1


def test_levels_keep_their_place_in_the_text() -> None:
    text = "intro\n1: We 0\n2: the **10**"
    found = levels_in_lines(text)
    assert [(text[level.start], level.value) for level in found.values()] == [("0", 0), ("1", 10)]


def test_a_token_that_is_a_number_is_not_its_level() -> None:
    assert {n: level.value for n, level in levels_in_lines("1: 1790 0\n2: 7 10").items()} == {1: 0, 2: 10}


def test_numbers_are_clipped_and_words_are_not_numbers() -> None:
    assert [number_of(value) for value in ("3", 3.5, "12", -1, "7/10")] == [3, 3.5, 10, 0, 7]
    assert all(math.isnan(number_of(value)) for value in ("high", None, True, "", "1e5x"))


def test_there_may_be_no_json_at_all() -> None:
    assert levels_in_json("1: 0") is None
