"""Do the edges do what they say? Change one input feature in the real MLP and watch the output feature.

For an edge IF_j -> OF_i and tokens on which IF_j is active: take its contribution out of the MLP's input (`ablate`) or
double it (`boost`), run the real MLP, encode its output, and compare the change of OF_i with the connector's.
Axes: token, edge, feature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.faithfulness import edge_agreement
from eval.measures.dictionaries.feature_rows import FeatureRows
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.connectors.rows import Agreement, EdgeValidation, Intervention
from llm_codes.lenses.saes.folder import SAEFolder

KINDS = {"ablate": -1.0, "boost": 1.0}


@torch.no_grad()
def intervene(
    function: Callable[[Tensor], Tensor],
    first: SAEFolder,
    second: SAEFolder,
    connector: Connector,
    x: Float[Tensor, "token width"],
    features: FeatureRows,
    edge: tuple[int, int, float],
    kind: str,
) -> Intervention:
    """One edge on tokens where its input feature is active. `edge` is (output, input, weight)."""
    output, source, weight = edge
    value = features.column(source)
    change = KINDS[kind] * value
    moved = x + change[:, None] * first.vectors[source]
    before, after = (second.encode_rows(function(inputs)).column(output) for inputs in (x, moved))
    edges = connector.edges(output)
    total = connector.bias[output] + sum((w * features.column(j) for j, w in edges), torch.zeros(len(x)))
    act = torch.relu if connector.activation == "relu" else (lambda z: z)
    predicted = act(total + weight * change) - act(total)
    means = float(predicted.mean()), float((after - before).mean())
    return Intervention(output, source, weight, kind, *means, len(x))


def validate_edges(
    function: Callable[[Tensor], Tensor],
    first: SAEFolder,
    second: SAEFolder,
    connector: Connector,
    pairs: FeaturePairs,
    edges: Sequence[tuple[int, int, float]] | None = None,
    *,
    n_edges: int = 150,
    n_tokens: int = 32,
    seed: int = 0,
) -> EdgeValidation:
    """Edge validation on held-out tokens.

    edges: (output, input, weight) to test; drawn at random, with probability proportional to attribution
    `|w| rms(input)`, among edges whose two features fire together if absent.
    Returns the interventions, and per kind sign agreement, R^2, correlation and their shuffled-weight nulls.
    """
    n = len(pairs.x)
    features, outputs = pairs.inputs.rows(slice(0, n)), pairs.outputs.rows(slice(0, n))
    chosen = list(edges) if edges is not None else draw_edges(connector, features, outputs, n_edges, seed)
    done: list[Intervention] = []
    for edge in chosen:
        active = (features.column(edge[1]) > 0).nonzero()[:, 0]
        together = active[outputs.column(edge[0])[active] > 0]
        tokens = torch.cat([together, active])[:n_tokens]
        if len(tokens) < 4:
            continue
        for kind in KINDS:
            part = features.rows(tokens)
            done.append(intervene(function, first, second, connector, pairs.x[tokens], part, edge, kind))
    agreements = {}
    for kind in KINDS:
        mine = [item for item in done if item.kind == kind]
        predicted, actual = (np.array([getattr(item, name) for item in mine]) for name in ("predicted", "actual"))
        agreements[kind] = Agreement(**edge_agreement(predicted, actual, seed=seed))
    return EdgeValidation(len(chosen), tuple(done), agreements["ablate"], agreements["boost"])


def draw_edges(
    connector: Connector, features: FeatureRows, outputs: FeatureRows, count: int, seed: int
) -> list[tuple[int, int, float]]:
    """Edges drawn in proportion to their attribution, among live features."""
    attribution = connector.weights.abs() * features.root_mean_square()[connector.inputs]
    attribution = attribution * (outputs.density()[connector.outputs] > 0)
    weights = attribution.double().numpy()
    if not weights.sum():
        return []
    random = np.random.default_rng(seed)
    count = min(count, int((weights > 0).sum()))
    picked = random.choice(len(weights), count, replace=False, p=weights / weights.sum())
    out, source = connector.outputs[picked].tolist(), connector.inputs[picked].tolist()
    return list(zip(out, source, connector.weights[picked].tolist(), strict=True))
