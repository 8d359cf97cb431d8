"""What a feature of a graph is called: the tokens that it promotes directly, and where in the prompt it is active."""

from __future__ import annotations

from collections.abc import Sequence

from llm_codes.lenses.graphs.rows import FEATURE, AttributionGraph
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.saes.logits import logits_effect
from llm_codes.models import Model


def promoted_tokens(
    model: Model,
    graph: AttributionGraph,
    transcoders: Sequence[LayerTranscoder],
    numbers: Sequence[int],
    count: int = 3,
) -> dict[int, tuple[str, ...]]:
    """For each feature node among `numbers`, the tokens whose logits its vector raises most, strongest first.

    Read through the final norm's gain and the unembedding alone: for low layers a weak label, and no explanation.
    """
    out: dict[int, tuple[str, ...]] = {}
    nodes = {number: graph.node(number) for number in numbers}
    for layer, transcoder in enumerate(transcoders):
        own = [number for number, node in nodes.items() if node.kind == FEATURE and node.layer == layer]
        features = [int(nodes[number].feature or 0) for number in own]
        if own:
            found = logits_effect(model, transcoder.folder, features, count)
            out |= {number: tuple(row["promotes"]) for number, row in zip(own, found, strict=True)}
    return out
