"""What does the harvest cost? Ratios in one run on a GPT-2-small-shaped model (12 layers x 768), two threads.

    python tests/benchmarks/benchmark_harvest.py [layers] [tokens]

1. harvest + covariance of residual and MLP at every layer, over the same forward passes without consumers: at most 2.5;
2. the same against storing the activations and running scikit-learn's randomized PCA (1000 components) per site: at
   least 2x faster, in at least 3x less memory beyond the model;
3. memory beyond the model for ten times the tokens: under 5% more.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from eval.torchvision_operators import declare_missing_operators

declare_missing_operators()
from llm_codes.corpus import Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.spectra.moments import SiteMomentsConsumer
from llm_codes.models import Model, load_model
from llm_codes.sites import resolve_sites

CONTEXT = 256
BATCH = 4
"""Windows in one forward pass of both ways, where they are compared in memory: neither is charged for a large batch."""


class Nothing:
    """A consumer that reads every site and does nothing: the forward passes alone."""

    per_site = True

    def __init__(self, sites: list[Any]) -> None:
        self.sites = sites

    def update(self, activations: Any, batch: Any, keep: Any) -> None:
        pass


class Store(Nothing):
    """A consumer that keeps everything, as a script without this suite would."""

    def __init__(self, sites: list[Any]) -> None:
        super().__init__(sites)
        self.rows: dict[str, list[torch.Tensor]] = {site.hook: [] for site in sites}

    def update(self, activations: Any, batch: Any, keep: Any) -> None:
        for hook, values in activations.items():
            self.rows[hook].append(values[keep].clone())


def gpt2_small(n_layers: int) -> Model:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    from llm_codes.model_sources import PRETRAINED

    config = GPT2Config(n_layer=n_layers, vocab_size=4096, n_positions=CONTEXT)
    return load_model(
        hf_model=GPT2LMHeadModel(config), tokenizer=AutoTokenizer.from_pretrained(PRETRAINED / "gpt2-sotu")
    )


def random_corpus(n_tokens: int) -> Corpus:
    n = max(1, n_tokens // CONTEXT)
    tokens = np.random.default_rng(0).integers(0, 4096, (n, CONTEXT), dtype=np.int32)
    documents = np.arange(n) % 100
    names = tuple(map(str, range(100)))
    return Corpus(tokens, np.ones_like(tokens, bool), documents, np.zeros(n, np.int64), np.arange(n), names, True, {})


def measured(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and peak resident memory in GB above the start."""
    gc.collect()
    process, stop, peak = psutil.Process(), threading.Event(), [0]
    start = process.memory_info().rss

    def watch() -> None:
        while not stop.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    stop.set()
    thread.join()
    return seconds, max(peak[0] - start, 0) / 2**30


def store_and_decompose(model: Model, corpus: Corpus, sites: list[Any]) -> None:
    from sklearn.decomposition import PCA

    store = Store(sites)
    harvest(model, corpus, [store], batch_size=BATCH)
    for rows in store.rows.values():
        values = torch.cat(rows).numpy()
        PCA(min(1000, *values.shape), svd_solver="randomized", random_state=0).fit(values)


def spectra_of(model: Model, corpus: Corpus, sites: list[Any]) -> None:
    consumer = SiteMomentsConsumer(sites)
    harvest(model, corpus, [consumer], batch_size=BATCH)
    for moments in consumer.moments.values():
        moments.eigenvalues()


WAYS = {"ours": spectra_of, "stored": store_and_decompose}


def in_a_process_of_its_own(way: str, n_layers: int, n_tokens: int) -> tuple[float, float]:
    """`measured` of one way: memory that an earlier measurement freed but kept would hide what the next one takes."""
    command = [sys.executable, __file__, way, str(n_layers), str(n_tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, gigabytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, gigabytes


def measure_one(way: str, n_layers: int, n_tokens: int) -> tuple[float, float]:
    torch.set_num_threads(2)
    model, corpus = gpt2_small(n_layers), random_corpus(n_tokens)
    sites = resolve_sites(model, ("resid_post", "mlp_post"))
    harvest(model, corpus.select(range(8)), [Nothing(sites)], batch_size=BATCH)  # warm-up
    return measured(lambda: WAYS[way](model, corpus, sites))


def ratios(n_layers: int = 12, n_tokens: int = 20_000) -> dict[str, float]:
    torch.set_num_threads(2)
    ours, stored = (in_a_process_of_its_own(way, n_layers, n_tokens) for way in ("ours", "stored"))
    model, corpus = gpt2_small(n_layers), random_corpus(n_tokens)
    sites = resolve_sites(model, ("resid_post", "mlp_post"))
    few = corpus.select(range(min(len(corpus), 24)))
    harvest(model, few.select(range(8)), [SiteMomentsConsumer(sites)])  # warm-up
    forward = measured(lambda: harvest(model, few, [Nothing(sites)]))
    covariance = measured(lambda: harvest(model, few, [SiteMomentsConsumer(sites)]))
    return {
        "layers": n_layers,
        "tokens": n_tokens,
        "harvest_over_forward": covariance[0] / forward[0],
        "ours_seconds": ours[0],
        "stored_seconds": stored[0],
        "times_faster_than_stored": stored[0] / ours[0],
        "ours_gb": ours[1],
        "stored_gb": stored[1],
        "times_less_memory": stored[1] / max(ours[1], 1e-9),
    }


def memory_growth() -> float:
    """Peak memory beyond the model for ten times the tokens, over that for one (the embedded model, three layers)."""
    model = load_model("embedded")
    sites = resolve_sites(model, ("resid_post", "mlp_post"), [0, 1, 2])
    harvest(model, random_corpus(4_096), [SiteMomentsConsumer(sites)])
    one = measured(lambda: harvest(model, random_corpus(8_192), [SiteMomentsConsumer(sites)]))[1]
    ten = measured(lambda: harvest(model, random_corpus(81_920), [SiteMomentsConsumer(sites)]))[1]
    base = sum(SiteMomentsConsumer(sites).memory_bytes() for _ in range(1)) / 2**30
    return (base + ten) / (base + one)


@pytest.mark.benchmark
@pytest.mark.timeout(7200)
def test_harvest_costs_and_memory() -> None:
    found = ratios()
    print(json.dumps(found))
    assert found["harvest_over_forward"] <= 2.5
    assert found["times_faster_than_stored"] >= 2
    assert found["times_less_memory"] >= 3


@pytest.mark.benchmark
def test_memory_does_not_grow_with_tokens() -> None:
    growth = memory_growth()
    print(json.dumps({"memory_of_ten_times_the_tokens": growth}))
    assert growth < 1.05


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        print(json.dumps(measure_one(sys.argv[1], *map(int, sys.argv[2:]))))
        sys.exit()
    numbers = [int(argument) for argument in sys.argv[1:]]
    print(json.dumps(ratios(*numbers)), json.dumps({"memory_growth": memory_growth()}))
