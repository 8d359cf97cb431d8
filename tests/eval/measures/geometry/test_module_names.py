"""The innermost module names an operation; names repeat with a number."""

from __future__ import annotations

from eval.measures.geometry.module_names import ModuleNames


def test_the_innermost_module_around_a_node_names_it() -> None:
    names = ModuleNames([("", 0, 9), ("block", 1, 7), ("block.act", 3, 5), ("head", 7, 8)], "net")
    assert [names.path(place) for place in (0, 1, 3, 4, 5, 6, 7, 8)] == [
        "net", "block", "block.act", "block.act", "block", "block", "head", "net",
    ]  # fmt: skip
    found = [names.site(place, "relu") for place in (3, 4, 5, 4, 8)]
    assert found == ["block.act:relu", "block.act:relu#2", "block:relu", "block.act:relu#3", "relu"]
