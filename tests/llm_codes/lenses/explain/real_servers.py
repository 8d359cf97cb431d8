"""Servers that nobody here wrote: started on a free port of this machine, waited for, asked, stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.explanation.explainers import Explanation, Reply
from eval.explanation.prompts import load_prompt
from eval.explanation.records import Record
from eval.explanation.scoring.classification import ChatJudge, Question
from eval.explanation.servers.chat_simulators import ServerChat, ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.journal import Journal
from eval.explanation.servers.probe import Abilities
from eval.explanation.simulators import Simulation, Task

SHOWN = "1. he went in <<June>> to\n2. last <<July>> it was\nStrongest: <<June>> 10, <<July>> 9"
WORDS = ("We", " saw", " June", " here")


@contextmanager
def running(command: Callable[[int], Sequence[str]], health: str, log: Path, **environment: str) -> Iterator[str]:
    """The address of a server while it runs. command: what starts it on a port. health: a path that answers.

    Raises `AssertionError` with the end of its log where it does not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as text:
        server = subprocess.Popen(command(port), env={**os.environ, **environment}, stdout=text, stderr=text)
        try:
            _wait_for(f"http://127.0.0.1:{port}{health}", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(60)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


@dataclass(frozen=True)
class Asked:
    """What a server was found to do, and what it answered: an explanation, a simulation by mode, a judgement."""

    client: Client
    abilities: Abilities | None
    explained: Reply
    simulated: dict[str, Simulation]
    judged: float


def asked(url: str, model: str, modes: Sequence[str] = ("auto", "json")) -> Asked:
    """Every kind of request that a run sends, once."""
    conversation = [*load_prompt("explain"), {"role": "user", "content": SHOWN}]
    settings = ClientSettings(base_url=url, timeout=600, concurrency=1, retries=1, probe=True, max_failures=1)
    with Journal(":memory:") as journal:
        client = Client(settings, journal)
        (reply,) = ServerChat(client, model).ask([conversation], maximum_tokens=24)
        task = Task(Explanation("months of the year"), WORDS)
        simulated = {mode: ServerSimulator(client, model, mode).simulate([task])[0] for mode in modes}
        record = Record(WORDS, (), np.zeros(len(WORDS)), -1, -1)
        question = Question("detection", task.explanation, record, (False,) * len(WORDS), True)
        judged = ChatJudge(ServerChat(client, model, logprobs=True)).judge([question])
        return Asked(client, client.abilities[model], reply, simulated, float(judged[0]))
