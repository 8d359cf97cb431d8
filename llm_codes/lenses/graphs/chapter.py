"""The chapter on whole-model circuits: a graph as a figure and tables, its edges tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.errors import UserError
from eval.report.page import Page, Section
from eval.result_json import noted
from eval.results import Result, result
from eval.runs import Run
from llm_codes.configs.graphs import GraphOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.attention.head_loadings import edge_heads
from llm_codes.lenses.graphs.attention.qk_attributions import qk_attribution
from llm_codes.lenses.graphs.edge_rows import EdgeTests
from llm_codes.lenses.graphs.edge_tests import tests_of_graph, tests_together
from llm_codes.lenses.graphs.figures import draw_attribution_graph, draw_edge_tests, drawn_nodes
from llm_codes.lenses.graphs.labels import promoted_tokens
from llm_codes.lenses.graphs.levels import edge_levels, licensed_by_edges
from llm_codes.lenses.graphs.nodes import FrozenPrompt, frozen_prompt, next_prompt
from llm_codes.lenses.graphs.rows import FEATURE, AttributionGraph, EdgeHeads, GraphEdge, GraphSummary, QKAttribution
from llm_codes.lenses.graphs.study import graph_of, prompt_tokens
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders, reason_without_transcoders
from llm_codes.lenses.graphs.windows import one_window_a_document
from llm_codes.models import Model

NODES_SHOWN, TESTS_SHOWN, EDGES_SHOWN, LOOKS_SHOWN = 24, 24, 24, 8
WHOLE = ("edges between features", "to the first logit")
BY_PART = ("direct", "patterns held", "total", "total, patterns held")  # of the groups within these
REPORT_PROMPTS, REPORT_LENGTH, REPORT_SOURCES = 20, 12, 2
REPORT_OPTIONS = GraphOptions(max_features=500)


@result
class GraphChapter(Result):
    """The report's whole-model circuit: whether transcoders of these weights ship, the graph drawn, its tests."""

    shipped: bool
    reason: str | None = noted(default=None, when_set=True)
    graph: GraphSummary | None = noted(default=None, when_set=True)
    tests: EdgeTests | None = noted(default=None, when_set=True)


def chapter(model: Model, corpus: Corpus, page: Page, run: Run, *, seed: int = 0) -> GraphChapter:
    """Graphs of the first windows of the report's corpus, one a document; the most certain one is drawn."""
    section = page.section("Whole-model circuit", "whole-model-circuit")
    reason = reason_without_transcoders(model)
    if reason:
        section.warning(f"No whole-model circuit here: {reason}. Train a transcoder for each layer, then draw prompts:")
        section.text(
            f"python -m llm_codes sae train --model {model.name} --architecture transcoder --sites mlp_in --sites-out "
            "mlp_out --layers : --width 8x --out runs/transcoders"
        )
        section.text(
            f"python -m llm_codes circuit graph --model {model.name} --transcoders runs/transcoders --prompt TEXT"
        )
        return GraphChapter(False, reason)
    transcoders = open_transcoders(model)
    windows = one_window_a_document(corpus, REPORT_PROMPTS, REPORT_LENGTH)
    tokens = [prompt_tokens(model, window) for window in windows]
    prompts = [frozen_prompt(model, own, transcoders, REPORT_OPTIONS.featureless_positions) for own in tokens]
    graphs, found = [], []
    for number, (own, prompt) in enumerate(zip(tokens, prompts, strict=True)):
        graphs.append(graph_of(model, own, transcoders, REPORT_OPTIONS, prompt))
        asked: Any = {"n_sources": REPORT_SOURCES, "number": number, "seed": seed}
        found += tests_of_graph(model, graphs[-1], transcoders, prompt, next_prompt(prompts, number), **asked)
    drawn = max(graphs, key=lambda graph: graph.targets[0].probability)
    tests = tests_together(found, len(graphs), seed)
    section.text(
        f"Every MLP of {model.name} is replaced by its transcoder and what the transcoder misses; attention patterns "
        f"and norm denominators are held. {len(graphs)} prompts, the first {REPORT_LENGTH} tokens of windows of "
        "different documents of this report's corpus; drawn is the one whose next token the model is most certain of."
    )
    add_graph(section, run, model, drawn, prompts[graphs.index(drawn)], transcoders)
    add_tests(section, run, tests)
    return GraphChapter(True, None, drawn.summary(), tests)


def add_graph(
    section: Section,
    run: Run,
    model: Model,
    graph: AttributionGraph,
    prompt: FrozenPrompt,
    transcoders: Sequence[LayerTranscoder],
    name: str = "attribution-graph",
) -> dict[int, tuple[str, ...]]:
    """Figure, summary and strongest nodes of one graph; returns the labels of the drawn features."""
    labels = promoted_tokens(model, graph, transcoders, drawn_nodes(graph))
    summary = graph.summary()
    section.figure(draw_attribution_graph(run, graph, labels, name))
    section.text(
        f"{summary.active:,} features are active, {summary.kept:,} are in the graph; {summary.nodes:,} nodes and "
        f"{summary.edges:,} edges stay after pruning. Replacement score {summary.replacement:.2f} (influence that runs "
        f"through features all the way), completeness {summary.completeness:.2f} (inputs that are not errors). Edges "
        f"and biases of a node sum to its activation to {summary.remainder:.0e}."
    )
    section.table(node_rows(graph, labels), caption="The features with the most influence on the targets")
    section.text(
        "An edge reaches its target along the residual stream, at its own position, or through heads. What passes "
        "through a head is the edge less the same edge without that head; a path through two heads counts for both."
    )
    shown = edge_heads(graph, prompt, transcoders, strongest_edges(graph))
    section.table(heads_rows(graph, shown), caption="The strongest edges from features and what carries them")
    try:
        looks = [qk_attribution(model, prompt, transcoders, *place) for place in looks_of(graph, shown)[:LOOKS_SHOWN]]
    except UserError as error:  # normed queries: the graph stands, why heads look is not taken apart
        section.warning(str(error))
        looks = []
    if looks:
        section.table(qk_rows(graph, looks), caption="Why these heads look where they look: the pairs that say most")
    return labels


def strongest_edges(graph: AttributionGraph, count: int = EDGES_SHOWN) -> list[GraphEdge]:
    """Kept edges that start at a feature, strongest first: half within a position, half between two (only heads carry
    those, and they are weaker)."""
    edges = [edge for edge in graph.kept_edges() if edge.source < graph.n_features]
    moved = [edge for edge in edges if graph.node(edge.source).position != graph.node(edge.target).position]
    stayed = [edge for edge in edges if graph.node(edge.source).position == graph.node(edge.target).position]
    return [*stayed[: count - len(moved[: count // 2])], *moved[: count // 2]]


def looks_of(graph: AttributionGraph, edges: Sequence[EdgeHeads]) -> list[tuple[int, int, int, int]]:
    """Layer, head, query and key of the strongest head of each edge between two positions, each once."""
    found: dict[tuple[int, int, int, int], None] = {}
    for edge in edges:
        key, query = graph.node(edge.source).position, graph.node(edge.target).position
        if edge.heads and key < query:
            found[edge.heads[0].layer, edge.heads[0].head, query, key] = None
    return list(found)


def qk_rows(graph: AttributionGraph, looks: Sequence[QKAttribution]) -> list[dict[str, object]]:
    """One row a head and place: its weight, and the pairs that make it."""
    return [
        {
            "head": f"{one.layer}.{one.head}",
            "from": f"{one.query}: {graph.tokens[one.query]!r}",
            "at": f"{one.key}: {graph.tokens[one.key]!r}",
            "pattern": round(one.pattern, 3),
            "score above other keys": round(one.above_other_keys, 2),
            "pairs (query x key)": "; ".join(
                f"{pair.query} x {pair.key} {pair.above_other_keys:+.2f}" for pair in one.pairs
            ),
        }
        for one in looks
    ]


def heads_rows(graph: AttributionGraph, edges: Sequence[EdgeHeads]) -> list[dict[str, object]]:
    """One row an edge: its parts in its own units."""
    return [
        {
            "source": _words(graph, edge.source),
            "target": _words(graph, edge.target),
            "edge": round(edge.effect, 3),
            "residual stream": round(edge.residual, 3),
            "heads": ", ".join(f"{one.layer}.{one.head} {one.effect:+.3f}" for one in edge.heads),
        }
        for edge in edges
    ]


def node_rows(graph: AttributionGraph, labels: Mapping[int, Sequence[str]]) -> list[dict[str, object]]:
    """The strongest features, with their strongest kept input and output."""
    edges = graph.kept_edges()
    rows = []
    for number in [n for n in drawn_nodes(graph) if graph.node(n).kind == FEATURE][:NODES_SHOWN]:
        node = graph.node(number)
        into = next((edge for edge in edges if edge.target == number), None)
        out = next((edge for edge in edges if edge.source == number), None)
        rows.append(
            {
                "layer": node.layer,
                "feature": node.feature,
                "at": f"{node.position}: {graph.tokens[node.position]!r}",
                "promotes": " ".join(repr(token) for token in labels.get(number, ())),
                "activation": round(float(node.activation or 0), 3),
                "influence": round(float(node.influence or 0), 4),
                "strongest input": "" if into is None else f"{_words(graph, into.source)} ({into.effect:+.2f})",
                "strongest output": "" if out is None else f"{_words(graph, out.target)} ({out.effect:+.2f})",
            }
        )
    return rows


def _words(graph: AttributionGraph, number: int) -> str:
    node = graph.node(number)
    if node.kind == FEATURE:
        return f"{node.feature} of layer {node.layer} at {node.position}"
    return f"{node.kind} {node.label!r}" if node.layer in (-1, graph.n_layers) else f"error of layer {node.layer}"


def add_tests(section: Section, run: Run, tests: EdgeTests) -> None:
    """Predicted against measured, by group, and some of the tests themselves."""
    section.text(
        f"{tests.n_tests:,} tests over {tests.prompts} prompts: in the real model a feature is taken out, doubled, "
        "lowered by a tenth, or given the largest activation that it has in the next prompt (if it is on there), and "
        "the target's pre-activation watched. direct: the MLPs between are held, attention and norms respond; total: "
        "everything responds, against the sum over all paths of the graph. patterns, norms, both held: those keep the "
        "prompt's values as well, which says what explains a gap (a direct effect with both held is the edge itself). "
        "null: the same change, watched at another active feature of the target's layer and position."
    )
    section.figure(draw_edge_tests(run, tests))
    columns = ("group", "measured", "tests", "sign", "rank", "r2", "slope")
    section.table(agreement_rows(tests, WHOLE), columns, "Do the edges hold? 95% intervals over prompts")
    parts = [row for row in agreement_rows(tests) if row["group"] not in WHOLE and row["measured"] in BY_PART]
    section.table(parts, columns, "By size of change, place, layer of the source and layers between")
    shown = [test.to_json() for test in tests.tests if test.size == -1 and test.kind == FEATURE][:TESTS_SHOWN]
    names = ("source", "target", "predicted", "patterns_held", "direct", "predicted_total", "total", "null")
    section.table(shown, names, "The first edges tested, source taken out: layer, position, feature")
    add_levels(section, tests)


def add_levels(section: Section, tests: EdgeTests | None) -> None:
    """Which parts of a claim about a circuit were measured, and the strongest one licensed."""
    levels = edge_levels(tests)
    section.table([level.to_json() for level in levels], caption="What was measured of a claim about these circuits")
    section.text(licensed_by_edges(levels))


def agreement_rows(tests: EdgeTests, groups: Sequence[str] = ()) -> list[dict[str, object]]:
    """Each score as a value with its interval, or its reason; of some groups, or of all."""
    rows = []
    for row in tests.agreement:
        if groups and row.group not in groups:
            continue
        cells: dict[str, object] = {"group": row.group, "measured": row.measured, "tests": row.tests}
        for name in ("sign", "rank", "r2", "slope"):
            score = getattr(row, name)
            if not score.is_defined:
                cells[name] = f"undefined: {score.reason}"
            elif score.interval is None:
                cells[name] = f"{score.value:.2f}"
            else:
                cells[name] = f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})"
        rows.append(cells)
    return rows
