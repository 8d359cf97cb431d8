"""Export of a prompt's circuit to circuit-tracer's graph JSON (`metadata`, `qParams`, `nodes`, `links`).

Nodes are `layer_feature_position`; the two dictionaries are written as layers L (before the MLP) and L+0.5 rounded up,
because the format numbers layers by whole numbers: `layer` is "L" for the input and "L+1" for the output side. Error
nodes have `feature_type` "mlp reconstruction error".
"""

from __future__ import annotations

from typing import Any

from llm_codes.lenses.circuits.rows import CircuitPage


def graph_json(data: CircuitPage, model_name: str, layer: int, slug: str = "prompt") -> dict[str, Any]:
    """The circuit of one prompt as circuit-tracer reads it; edge weights are weight x activation."""
    prompt = data.prompt
    nodes: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    by_target: dict[int, list[tuple[int, float]]] = {}
    for source, target, weight, _ in data.edges:
        by_target.setdefault(target, []).append((source, weight))
    for position, place in enumerate(prompt.positions):
        values = dict(place.inputs)
        for source, value in values.items():
            nodes.append(_node(str(layer), source, position, value, data.inputs[source].label))
        for target, value, predicted in place.outputs:
            nodes.append(_node(str(layer + 1), target, position, value, data.outputs[target].label))
            end = f"{layer + 1}_{target}_{position}"
            for source, weight in by_target.get(target, []):
                if source in values:
                    start = f"{layer}_{source}_{position}"
                    links.append({"source": start, "target": end, "weight": weight * values[source]})
            error = f"{layer + 1}_error_{position}"
            links.append({"source": error, "target": end, "weight": value - predicted})
        nodes.append(_error(str(layer + 1), position, place.error_connector))
    return {
        "metadata": {
            "slug": slug,
            "scan": model_name,
            "prompt_tokens": list(prompt.tokens),
            "prompt": "".join(prompt.tokens),
            "prompt_tokens_total": prompt.prompt_tokens_total,
            "node_threshold": None,
            "schema_version": 1,
        },
        "qParams": {"linkType": "both", "pinnedIds": [], "clickedId": "", "supernodes": [], "sg_pos": ""},
        "nodes": nodes,
        "links": links,
    }


def _node(layer: str, feature: int, position: int, value: float, label: str) -> dict[str, Any]:
    return {
        "node_id": f"{layer}_{feature}_{position}",
        "feature": feature,
        "layer": layer,
        "ctx_idx": position,
        "feature_type": "cross layer transcoder",
        "jsNodeId": f"{layer}_{feature}-{position}",
        "clerp": label,
        "activation": value,
        "influence": None,
        "token_prob": 0.0,
        "is_target_logit": False,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
    }


def _error(layer: str, position: int, share: float) -> dict[str, Any]:
    node = _node(layer, 0, position, share, "error: what features and edges miss")
    node |= {"node_id": f"{layer}_error_{position}", "jsNodeId": f"{layer}_error-{position}", "feature": None}
    return node | {"feature_type": "mlp reconstruction error"}
