"""The part of a graph's page on its supernodes."""

from __future__ import annotations

from eval.report.page import Section
from eval.runs import Run
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.supernodes.figures import draw_supernodes
from llm_codes.lenses.graphs.supernodes.rows import GraphSupernodes
from llm_codes.lenses.saes.rows import Context

EDGES_SHOWN = 16


def add_supernodes(section: Section, run: Run, graph: AttributionGraph, found: GraphSupernodes) -> None:
    """Groups with their nodes, stability and contexts, and the edges between them."""
    if not found.supernodes:
        section.text("No features of this graph belong together." if found.suggested else "No supernodes were given.")
        return
    section.text(_words(found))
    section.figure(draw_supernodes(run, graph, found, f"{found.graph}-supernodes"))
    section.table(supernode_rows(found), caption="Supernodes")
    edges = [{"from": e.source, "to": e.target, "edges": round(e.effect, 3)} for e in found.edges[:EDGES_SHOWN]]
    section.table(edges, ("from", "to", "edges"), "The strongest sums of edges between supernodes, and to logits")


def _words(found: GraphSupernodes) -> str:
    if not found.suggested:
        return f"{len(found.supernodes)} supernodes as they were given."
    words = (
        "Suggested supernodes: features that write alike, fire together on a text and stand near one another. Named by "
        f"the words at which their nodes fire together most in {found.documents} documents; a name is no explanation. "
    )
    if found.stability is not None and found.null is not None:
        words += (
            f"Stability (best overlap with a group where the documents are drawn anew, mean over nodes): "
            f"{found.stability:.2f}; with the co-activations of other nodes {found.null:.2f}. "
        )
    return f"{words}To change them, edit supernodes.json and pass it with --supernodes."


def supernode_rows(found: GraphSupernodes) -> list[dict[str, object]]:
    """One row a supernode."""
    return [
        {
            "name": one.name,
            "nodes": " ".join(one.nodes),
            "influence": round(one.influence, 4),
            "stability": "" if one.stability is None else round(one.stability, 2),
            "contexts": " | ".join(map(_text, one.contexts)),
        }
        for one in found.supernodes
    ]


def _text(context: Context) -> str:
    tokens = [f"[{token}]" if place == context.at else token for place, token in enumerate(context.tokens)]
    return " ".join("".join(tokens).split())
