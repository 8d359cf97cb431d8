"""Edge tests of the embedded model: predictions beat the null that watches another feature."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from eval.errors import UserError
from llm_codes.lenses.graphs.edge_tests import edge_tests
from llm_codes.lenses.graphs.study import attribution_graph
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.models import load_model


@pytest.fixture(scope="module")
def tested() -> Any:
    model = load_model("embedded")
    transcoders = open_transcoders(model)
    prompts = ("The people of the United", "the House of Representatives and the Senate of the")
    graphs = [attribution_graph(model, prompt, transcoders) for prompt in prompts]
    return model, graphs, transcoders, edge_tests(model, graphs, transcoders, n_sources=6, seed=1)


def test_edges_foretell_the_real_model_better_than_their_null(tested: Any) -> None:
    found = {(row.group, row.measured): row for row in tested[3].agreement}
    rows = {what: found["edges between features", what] for what in ("direct", "patterns held", "direct, null")}
    assert rows["patterns held"].sign.value > 0.9 and rows["patterns held"].rank.value > 0.9
    assert rows["direct"].sign.value > rows["direct, null"].sign.value
    assert rows["direct"].sign.interval is None and rows["direct"].sign.interval_reason  # two prompts are too few
    assert rows["direct"].tests == sum(test.kind == "feature" for test in tested[3].tests)


def test_a_rerun_is_the_same(tested: Any) -> None:
    model, graphs, transcoders, first = tested
    again = edge_tests(model, graphs, transcoders, n_sources=6, seed=1)
    assert [test.source for test in again.tests] == [test.source for test in first.tests]
    assert again.tests[5].predicted == first.tests[5].predicted


def test_every_prediction_is_an_edge_times_the_size(tested: Any) -> None:
    _, graphs, _, found = tested
    for test in found.tests[::7]:
        graph = graphs[test.prompt]
        places = [tuple(place) for place in graph.features.tolist()]
        row = graph.n_features if test.target is None else places.index(tuple(test.target))
        edge = float(graph.edges[row, places.index(tuple(test.source))])
        assert test.predicted == pytest.approx(test.size * edge)


def test_sources_are_patched_with_what_they_are_in_the_next_prompt(tested: Any) -> None:
    model, graphs, transcoders, found = tested
    patched = [test for test in found.tests if test.patched]
    rows = {row.group: row.tests for row in found.agreement if row.measured == "direct"}
    assert rows["patched from another prompt"] == sum(test.kind == "feature" for test in patched) > 0
    for test in patched:
        here, there = graphs[test.prompt], graphs[1 - test.prompt]
        layer, position, feature = test.source
        own = here.activations[(here.features == torch.tensor(test.source)).all(1)]
        same = (there.features[:, 0] == layer) & (there.features[:, 2] == feature)
        largest = float(there.activations[same].max())
        assert float(own) * (1 + test.size) == pytest.approx(largest, rel=1e-5)
    off = {test.source for test in found.tests} - {test.source for test in patched}
    assert off  # features that the other prompt does not have on are taken out already
    alone = edge_tests(model, graphs[:1], transcoders, n_sources=6, seed=1)
    assert not any(test.patched for test in alone.tests)
    whole = [test for test in found.tests if test.prompt == 0 and not test.patched]
    assert [test.null for test in alone.tests] == [test.null for test in whole]


def test_a_graph_without_edges_is_refused(tested: Any) -> None:
    model, graphs, transcoders, _ = tested
    nothing = torch.zeros(0, dtype=torch.long)
    pruned = dataclasses.replace(graphs[0].pruned, edge_targets=nothing, edge_sources=nothing)
    with pytest.raises(UserError, match="expected kept edges between features; got none; raise --node-share"):
        edge_tests(model, [dataclasses.replace(graphs[0], pruned=pruned)], transcoders)
