"""The graph as a figure: layers upward, positions across, edges as wide as their effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from llm_codes.lenses.graphs.edge_rows import EdgeTests
from llm_codes.lenses.graphs.rows import ERROR, FEATURE, LOGIT, TOKEN, AttributionGraph

DRAWN_NODES, DRAWN_EDGES, LABELLED = 60, 160, 16
MARKERS = {FEATURE: ("o", COLOURS[0]), ERROR: ("D", COLOURS[6]), TOKEN: ("s", COLOURS[2]), LOGIT: ("^", COLOURS[1])}


def drawn_nodes(graph: AttributionGraph) -> list[int]:
    """The kept features and errors with the most influence, and every token and logit."""
    nodes = {number: graph.node(number) for number in graph.kept_nodes()}
    inner = [number for number, node in nodes.items() if node.kind in (FEATURE, ERROR)]
    strongest = sorted(inner, key=lambda number: -float(nodes[number].influence or 0))[:DRAWN_NODES]
    return [*strongest, *(number for number, node in nodes.items() if node.kind in (TOKEN, LOGIT))]


@drawing
def draw_attribution_graph(
    run: Run, graph: AttributionGraph, labels: Mapping[int, Sequence[str]], name: str = "attribution-graph"
) -> SavedFigure:
    """The strongest nodes and edges of a pruned graph."""
    numbers = drawn_nodes(graph)
    places = _places(graph, numbers)
    fig, axis = figure(width=max(8.0, min(16.0, 0.62 * graph.n_positions)), height=6.4)
    edges = [e for e in graph.kept_edges() if e.source in places and e.target in places][:DRAWN_EDGES]
    largest = max((abs(edge.effect) for edge in edges), default=1.0)
    for edge in reversed(edges):
        (x0, y0), (x1, y1) = places[edge.source], places[edge.target]
        share = abs(edge.effect) / largest
        colour = COLOURS[0] if edge.effect > 0 else COLOURS[1]
        axis.plot([x0, x1], [y0, y1], color=colour, linewidth=0.4 + 2.6 * share, alpha=0.18 + 0.5 * share, zorder=1)
    for kind, (marker, colour) in MARKERS.items():
        own = [number for number in numbers if graph.node(number).kind == kind]
        points = [places[number] for number in own]
        sizes = [14 + 160 * float(graph.node(number).influence or 0) ** 0.5 for number in own]
        sizes = sizes if kind in (FEATURE, ERROR) else [26.0] * len(own)
        style: dict[str, Any] = {
            "marker": marker,
            "s": sizes,
            "color": colour,
            "edgecolors": "white",
            "linewidths": 0.5,
        }
        axis.scatter([x for x, _ in points], [y for _, y in points], zorder=2, label=kind, **style)
    _label(axis, graph, numbers, places, labels)
    _axes(axis, graph)
    caption = (
        f"Attribution graph of {graph.prompt.strip()!r}: the {DRAWN_NODES} strongest features and errors of "
        f"{graph.summary().nodes} kept nodes, and the {len(edges)} strongest edges between them. Blue raises, orange "
        "lowers; width is the direct effect, size the influence. Labels: tokens that a feature promotes directly."
    )
    return save_figure(run, fig, name, caption)


def _places(graph: AttributionGraph, numbers: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Where nodes stand: several of one layer and position share its cell, side by side in rows."""
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number in numbers:
        node = graph.node(number)
        cells[node.layer, node.position].append(number)
    out = {}
    for (layer, position), own in cells.items():
        columns = 3
        for place, number in enumerate(own):
            row, column = divmod(place, columns)
            in_row = min(columns, len(own) - row * columns)
            x = position + 0.28 * (column - (in_row - 1) / 2)
            out[number] = (x, layer + 0.16 * row - 0.08 * ((len(own) - 1) // columns))
    return out


def _label(
    axis: Any,
    graph: AttributionGraph,
    numbers: Sequence[int],
    places: Mapping[int, tuple[float, float]],
    labels: Mapping[int, Sequence[str]],
) -> None:
    features = [number for number in numbers if graph.node(number).kind == FEATURE]
    done: set[tuple[int, int]] = set()
    for number in features:
        node = graph.node(number)
        cell = (node.layer, node.position)
        if number not in labels or cell in done or len(done) >= LABELLED:
            continue
        done.add(cell)
        x, y = places[number]
        words = _shown(" ".join(token.strip() for token in labels[number][:2]), 18)
        axis.annotate(words, (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=6.5, zorder=3)
    for number in numbers:
        node = graph.node(number)
        if node.kind == LOGIT:
            x, y = places[number]
            words = f"{_shown(node.label, 12)} {node.activation:.2f}"
            axis.annotate(words, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=7, zorder=3)


def _axes(axis: Any, graph: AttributionGraph) -> None:
    axis.set_xlim(-0.8, graph.n_positions + 0.6)
    axis.set_ylim(-1.4, graph.n_layers + 0.6)
    axis.set_yticks(range(-1, graph.n_layers + 1))
    axis.set_yticklabels(["tokens", *(f"layer {layer}" for layer in range(graph.n_layers)), "logits"])
    axis.set_xticks(range(graph.n_positions))
    axis.set_xticklabels([_shown(token, 10) for token in graph.tokens], rotation=60, ha="right", fontsize=7)
    axis.legend(loc="upper left", ncols=4)


def _shown(text: str, length: int) -> str:
    """A token or label on one line, without what matplotlib would take for mathematics or cannot show."""
    plain = "".join(c if c.isprintable() else " " for c in text.replace("$", r"\$"))
    return plain if len(plain) <= length else plain[: length - 1] + "…"


@drawing
def draw_edge_tests(run: Run, tests: EdgeTests) -> SavedFigure:
    """Predicted against measured changes, one panel for what responds in the real model."""
    shown = (
        ("patterns_held", "patterns held"),
        ("direct", "direct: attention and norms respond"),
        ("total", "total: everything responds"),
    )
    fig, axes = figure(1, 3, width=9.6, height=3.3)
    rows = [test for test in tests.tests if test.kind == FEATURE]
    for axis, (field, title) in zip(axes, shown, strict=True):
        for layer, colour in ((0, COLOURS[4]), (1, COLOURS[0])):
            some = [test for test in rows if (test.source[0] == 0) == (layer == 0)]
            x = [test.predicted_total if field == "total" else test.predicted for test in some]
            y = [getattr(test, field) for test in some]
            words = "from layer 0" if layer == 0 else "from other layers"
            axis.plot(x, y, ".", color=colour, markersize=3, alpha=0.6, label=words)
        axis.set(title=title, xlabel="predicted change")
        axis.set_xscale("symlog", linthresh=0.1)
        axis.set_yscale("symlog", linthresh=0.1)
        axis.axline((-1, -1), (1, 1), color="#999999", linewidth=0.8)
    axes[0].set_ylabel("measured change")
    axes[0].legend(loc="upper left")
    caption = (
        "Edges between features: the change of the target that the graph foretells, and the one measured in the model."
    )
    return save_figure(run, fig, "edge-tests", caption)
