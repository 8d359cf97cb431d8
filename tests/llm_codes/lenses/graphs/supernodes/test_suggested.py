"""Suggested supernodes of a small model: groups, names, edges, and the file that is edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.corpus import load_corpus
from llm_codes.lenses.graphs.export import graph_json, node_id
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.study import attribution_graph
from llm_codes.lenses.graphs.supernodes.activity import activity_of
from llm_codes.lenses.graphs.supernodes.chapter import supernode_rows
from llm_codes.lenses.graphs.supernodes.files import read_supernodes, supernode_lists, supernodes_json, supernodes_of
from llm_codes.lenses.graphs.supernodes.rows import GraphSupernodes
from llm_codes.lenses.graphs.supernodes.suggested import strongest_features, suggest_supernodes
from llm_codes.sites import resolve_site

TOKENS = [0, 17, 45, 300, 45]


@pytest.fixture(scope="module")
def made(both: Any) -> tuple[Any, Any, AttributionGraph, Any]:
    model, transcoders = both[0]
    texts = [f"the cat sat on the mat, and the dog {word} after the cat" for word in ("ran", "sat", "truths", "hold")]
    corpus = load_corpus(texts * 3, model, context=16, n_tokens=150)
    return model, transcoders, attribution_graph(model, TOKENS, transcoders), corpus


def suggested(made: Any, **changes: Any) -> GraphSupernodes:
    model, transcoders, graph, corpus = made
    return suggest_supernodes(model, graph, corpus, transcoders, name="graph-1", **changes)


def test_activity_is_what_the_transcoder_says_token_by_token(made: Any) -> None:
    model, transcoders, graph, corpus = made
    numbers = strongest_features(graph, 12)
    found = activity_of(model, graph, transcoders, numbers, corpus, batch_size=2)
    assert numbers == sorted(numbers) and (found.position > 0).all()
    token, column = 7, 5
    window, position = int(found.window[token]), int(found.position[token])
    layer, _, feature = graph.features[numbers[column]].tolist()
    hook = resolve_site(model, "mlp_in", layer).hook
    row = torch.tensor(np.asarray(corpus.tokens[window : window + 1]), dtype=torch.long)
    expected = transcoders[layer].active(model.activations(row, [hook])[hook][0])[position, feature]
    assert found.values[token, column] == pytest.approx(float(expected), rel=1e-5)


def test_groups_have_two_nodes_and_more_and_edges_are_sums(made: Any) -> None:
    graph = made[2]
    found = suggested(made, supernode_features=40, similarity=0.4)
    assert found.suggested and found.supernodes and found.documents == made[3].n_documents
    members = [one for supernode in found.supernodes for one in supernode.nodes]
    assert len(members) == len(set(members)) and all(len(one.nodes) > 1 for one in found.supernodes)
    assert len({one.name for one in found.supernodes}) == len(found.supernodes)
    assert all(0 < (one.stability or 0) <= 1 for one in found.supernodes)
    owner = {name: one.name for one in found.supernodes for name in one.nodes}
    first = found.edges[0]
    total = 0.0
    for edge in graph.kept_edges():
        source, target = (node_id(graph, graph.node(n)) for n in (edge.source, edge.target))
        if owner.get(source) == first.source and (
            owner.get(target) == first.target or first.target == f"logit {graph.node(edge.target).label!r}"
        ):
            total += edge.effect
    assert first.effect == pytest.approx(total) and first.source != first.target
    assert len(supernode_rows(found)) == len(found.supernodes)
    assert suggested(made, supernode_features=0).supernodes == ()


def test_the_file_is_read_back_and_goes_into_the_graph(made: Any, tmp_path: Path) -> None:
    graph = made[2]
    found = suggested(made, supernode_features=40, similarity=0.4)
    path = tmp_path / "supernodes.json"
    written = supernodes_json([found], [graph])
    written["graph-1"]["supernodes"][0][0] = "my own name"
    path.write_text(json.dumps(written))
    again = supernodes_of(read_supernodes(path), graph, "graph-1")
    assert not again.suggested and again.supernodes[0].name == "my own name"
    assert [one.nodes for one in again.supernodes] == [one.nodes for one in found.supernodes]
    assert [edge.effect for edge in again.edges] == pytest.approx([edge.effect for edge in found.edges])
    lists = supernode_lists(again)
    parameters = graph_json(graph, "graph-1", supernodes=lists)["qParams"]
    assert parameters["supernodes"] == lists and set(lists[0][1:]) <= set(parameters["pinnedIds"])
    assert supernodes_of({}, graph, "graph-1").supernodes == ()


def wrong(made: Any, rows: Sequence[Any], **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        supernodes_of({"graph-1": {"supernodes": rows, **more}}, made[2], "graph-1")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_supernode_is_named(made: Any, tmp_path: Path) -> None:
    graph = made[2]
    one, two = (node_id(graph, graph.node(number)) for number in strongest_features(graph, 2))
    assert f"got {one} in 'a', 'b'" in wrong(made, [["a", one], ["b", two, one]])
    assert "got '9_9_9' in 'a': " in wrong(made, [["a", "9_9_9"]])
    assert "got 'a' twice; change one" in wrong(made, [["a", one], ["a", two]])
    assert "expected a supernode as [name, node, ...] in graph-1; got ['a']; add nodes" in wrong(made, [["a"]])
    assert "got those of 'another'" in wrong(made, [["a", one]], prompt="another")
    with pytest.raises(UserError, match="expected a list `supernodes` for graph-1; got 3"):
        supernodes_of({"graph-1": 3}, graph, "graph-1")
    with pytest.raises(UserError, match="expected a file of supernodes at .*none.json; found none"):
        read_supernodes(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(UserError, match="expected JSON in .*bad.json; got"):
        read_supernodes(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UserError, match="expected an object of graphs in .*list.json; got a list"):
        read_supernodes(tmp_path / "list.json")
