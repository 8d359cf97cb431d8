"""Supernodes and the edges between them, where their nodes stand on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from llm_codes.lenses.graphs.rows import LOGIT, AttributionGraph
from llm_codes.lenses.graphs.supernodes.rows import GraphSupernodes
from llm_codes.lenses.graphs.supernodes.suggested import numbers_of

SHOWN = 24


@drawing
def draw_supernodes(run: Run, graph: AttributionGraph, found: GraphSupernodes, name: str = "supernodes") -> SavedFigure:
    """Layers upward, positions across; blue raises, orange lowers."""
    places = _places(graph, found)
    fig, axis = figure(width=max(8.0, min(16.0, 0.62 * graph.n_positions)), height=5.2)
    edges = [edge for edge in found.edges if edge.source in places and edge.target in places]
    largest = max((abs(edge.effect) for edge in edges), default=1.0)
    for edge in reversed(edges):
        share, colour = abs(edge.effect) / largest, COLOURS[0] if edge.effect > 0 else COLOURS[1]
        (x0, y0), (x1, y1) = places[edge.source], places[edge.target]
        axis.plot([x0, x1], [y0, y1], color=colour, linewidth=0.4 + 3 * share, alpha=0.25 + 0.5 * share, zorder=1)
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "zorder": 3}
    box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "#7A7A7A", "linewidth": 0.7}
    for words, (x, y) in places.items():
        plain = "".join(c if c.isprintable() else " " for c in words.replace("$", r"\$"))
        axis.text(x, y, plain if len(plain) <= 24 else plain[:23] + "…", bbox=box, **style)
    axis.set_xlim(-0.8, graph.n_positions + 0.2)
    axis.set_ylim(-0.6, graph.n_layers + 0.6)
    axis.set_yticks(range(graph.n_layers + 1), [*(f"layer {layer}" for layer in range(graph.n_layers)), "logits"])
    tokens = ["".join(c if c.isprintable() else " " for c in token.replace("$", r"\$")) for token in graph.tokens]
    axis.set_xticks(range(graph.n_positions), tokens, rotation=60, ha="right", fontsize=7)
    caption = f"The {len(places)} strongest supernodes and logits, at the mean layer and position of their nodes; the "
    caption += f"{len(edges)} strongest sums of edges between them. Blue raises, orange lowers."
    return save_figure(run, fig, name, caption)


def _places(graph: AttributionGraph, found: GraphSupernodes) -> Mapping[str, tuple[float, float]]:
    numbers = numbers_of(graph)
    out: dict[str, tuple[float, float]] = {}
    for one in found.supernodes[:SHOWN]:
        nodes = [graph.node(numbers[name]) for name in one.nodes]
        out[one.name] = float(np.mean([n.position for n in nodes])), float(np.mean([n.layer for n in nodes]))
    logits = [node for node in map(graph.node, graph.kept_nodes()) if node.kind == LOGIT]
    for place, node in enumerate(logits[:4]):
        out[f"logit {node.label!r}"] = graph.n_positions - 1 - 1.2 * place, float(graph.n_layers)
    return out
