"""The oracle: circuit-tracer, in an environment of its own, gives the same graph of the same model and transcoders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_codes.lenses.graphs.study import attribution_graph
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.model_sources import PRETRAINED
from llm_codes.models import load_model

ROOT = Path(__file__).parents[4]
ENVIRONMENT = ROOT / ".venv-circuit-tracer"
PACKAGES = ("torch==2.13.0", "circuit-tracer==0.5.0", "huggingface-hub<1")
PROMPT = (
    "The President of the United States shall from time to time give to the Congress information of the state of the "
    "Union, and recommend to their consideration such measures as he shall judge necessary and expedient; he may, on "
    "extraordinary occasions, convene both Houses"
)
TOKENS, REPEATS = 64, 2


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python that has circuit-tracer; its environment is made once (it wants a huggingface-hub below 1)."""
    binary = ENVIRONMENT / "bin" / "python"
    if not binary.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        for package in PACKAGES[:1], PACKAGES[1:]:
            subprocess.run([binary, "-m", "pip", "install", "--quiet", *package], check=True)
    return binary


@pytest.fixture(scope="module")
def both_sides(python: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, dict[str, float]]:
    """Our graph and theirs of one prompt with all active features, and the processor seconds of each, best of two (on a
    machine that others use, seconds by the clock say how busy it was)."""
    folder = tmp_path_factory.mktemp("oracle")
    shutil.copytree(PRETRAINED / "gpt2-sotu", folder / "model")
    model = load_model("embedded")
    transcoders = open_transcoders(model)
    tokens = [model.bos_token_id, *model.encode(PROMPT)][:TOKENS]
    arrays: dict[str, Any] = {"n_layers": model.n_layers, "tokens": np.array(tokens), "repeats": REPEATS}
    for layer, item in enumerate(transcoders):
        sae: Any = item.folder.sae
        for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"):
            arrays[f"{name}_{layer}"] = getattr(sae, name).detach().numpy()
    np.savez(folder / "transcoders.npz", **arrays)
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        graph = attribution_graph(model, tokens, transcoders, max_features=0, graph_memory_gb=None)
        seconds.append(time.process_time() - started)
    script = Path(__file__).with_name("circuit_tracer_side.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    subprocess.run([python, script, folder], check=True, cwd=folder, env=environment | offline)
    theirs = np.load(folder / "adjacency.npz")
    times = {"ours": min(seconds), "circuit-tracer": float(theirs["seconds"].min())}
    return graph, {name: theirs[name] for name in theirs.files}, times


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_same_nodes(both_sides: Any) -> None:
    graph, theirs, _ = both_sides
    assert graph.features.tolist() == theirs["features"].tolist()
    largest = np.abs(theirs["activations"]).max()
    assert np.abs(graph.activations.numpy() - theirs["activations"]).max() < 1e-4 * largest
    assert [target.token for target in graph.targets] == theirs["logits"].tolist()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_same_adjacency_matrix(both_sides: Any, record_property: Any) -> None:
    """To 1e-4 of the largest edge, and of each row's largest edge. Errors at position 0, which circuit-tracer sets to
    zero, are left out."""
    graph, theirs, times = both_sides
    n, first = graph.n_features, graph.n_features + graph.n_errors + graph.n_positions
    adjacency = theirs["adjacency"]
    rows = np.concatenate([adjacency[:n, :first], adjacency[first:, :first]])
    kept = np.ones(first, bool)
    kept[n : n + graph.n_errors : graph.n_positions] = False
    assert np.abs(rows[:, ~kept]).max() == 0
    ours, rows = graph.edges.numpy()[:, kept], rows[:, kept]
    gap = np.abs(ours - rows)
    by_row = gap.max(1) / np.abs(rows).max(1)
    found = {
        "features": n,
        "tokens": graph.n_positions,
        "logits": len(graph.targets),
        "edges": int((rows != 0).sum()),
        "relative": float(gap.max() / np.abs(rows).max()),
        "relative_of_row": float(by_row.max()),
        "norm": float(np.linalg.norm(ours - rows) / np.linalg.norm(rows)),
        "seconds": times,
        "ratio": times["circuit-tracer"] / times["ours"],
    }
    record_property("circuit-tracer", json.dumps(found))
    if place := os.environ.get("CIRCUIT_TRACER_FOUND"):
        Path(place).write_text(json.dumps(found))
    assert found["relative"] < 1e-4 and found["relative_of_row"] < 1e-4
    assert found["ratio"] > 3
