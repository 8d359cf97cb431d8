"""Supernodes as a file to edit: names, and the ids of their nodes, for every graph of a run.

    {"graph-1": {"prompt": "<|endoftext|>The President of the United",
                 "supernodes": [["the United", "2_134_5", "3_77_5"], ["President", "0_12_2", "1_9_2"]]}}

A supernode is the list that circuit-tracer and Neuronpedia keep: its name, then its nodes. A node may be left out of
all, or be any kept node of the graph; it stands in one supernode at most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.errors import UserError, nearest
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.supernodes.rows import GraphSupernodes
from llm_codes.lenses.graphs.supernodes.suggested import given_supernodes, numbers_of


def supernodes_json(found: Sequence[GraphSupernodes], graphs: Sequence[AttributionGraph]) -> dict[str, Any]:
    """What is written beside the graphs."""
    return {
        one.graph: {"prompt": graph.prompt, "supernodes": supernode_lists(one)}
        for one, graph in zip(found, graphs, strict=True)
    }


def supernode_lists(found: GraphSupernodes) -> list[list[str]]:
    """Name and nodes of each, as the frontends keep them."""
    return [[one.name, *one.nodes] for one in found.supernodes]


def read_supernodes(path: str | Path) -> Mapping[str, Any]:
    """The file as it is; what it says of a graph is checked by `supernodes_of`.

    Raises:
        UserError: no such file, or no JSON object in it.
    """
    source = Path(path)
    if not source.is_file():
        raise UserError(f"expected a file of supernodes at {source}; found none; check the path")
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"expected JSON in {source}; got {error}; edit the file that a run wrote") from error
    if not isinstance(found, dict):
        raise UserError(f"expected an object of graphs in {source}; got a {type(found).__name__}; edit a run's own")
    return found


def supernodes_of(found: Mapping[str, Any], graph: AttributionGraph, name: str) -> GraphSupernodes:
    """The supernodes that a file gives one graph; none where it does not name the graph.

    Raises:
        UserError: another prompt's; a supernode without a name or nodes; a name twice; a node that the graph does not
            keep, or that stands in two.
    """
    if name not in found:
        return GraphSupernodes(name, False, (), (), None, None, 0)
    entry = found[name]
    if not isinstance(entry, dict) or not isinstance(entry.get("supernodes"), list):
        raise UserError(f"expected a list `supernodes` for {name}; got {entry!r:.60}; edit the file that a run wrote")
    if entry.get("prompt", graph.prompt) != graph.prompt:
        raise UserError(
            f"expected supernodes of the prompt {graph.prompt!r} for {name}; got those of {entry['prompt']!r}; give "
            "the prompts of the run that wrote the file"
        )
    known, groups, owner = numbers_of(graph), {}, {}
    for row in entry["supernodes"]:
        if not (isinstance(row, list) and len(row) >= 2 and all(isinstance(part, str) and part for part in row)):
            raise UserError(f"expected a supernode as [name, node, ...] in {name}; got {row!r:.60}; add nodes")
        words, *ids = row
        if words in groups:
            raise UserError(f"expected a name for each supernode of {name}; got {words!r} twice; change one")
        for one in ids:
            if one not in known:
                raise UserError(f"expected nodes that {name} keeps; got {one!r} in {words!r}: {nearest(one, known)}")
            if one in owner:
                raise UserError(f"expected a node in one supernode of {name}; got {one} in {owner[one]!r}, {words!r}")
            owner[one] = words
        groups[words] = ids
    return given_supernodes(graph, groups, name)
