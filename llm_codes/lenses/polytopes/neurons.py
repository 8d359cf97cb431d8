"""Neurons that look polysemantic, with the polytope regions that their strongest tokens fall into.

Axis glossary: ``item`` sampled tokens, ``unit`` hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.measures.clustering.clusters import Clusters
from eval.measures.dictionaries.directions import clusters_crossed, top_items
from llm_codes.lenses.polytopes.panel_rows import NeuronRow, StrongToken
from llm_codes.lenses.polytopes.samples import TokenSample

TOP_ITEMS = 20
SHOWN = 6


def neurons_across_clusters(
    hidden: np.ndarray, span: Sequence[int], sample: TokenSample, found: Clusters
) -> tuple[NeuronRow, ...]:
    """The hidden units whose strongest tokens spread over most clusters of codes, most first; each over two or more.

    hidden: activations after the nonlinearity ``[item unit]``, the layers of `span` side by side. Only positive ones
    are strong: a unit that is never above 0 is left out.
    """
    top = top_items(hidden, TOP_ITEMS)
    spreads = clusters_crossed(top, found.labels)
    order = sorted(range(len(top)), key=lambda unit: (-spreads[unit]["effective_clusters"], unit))
    width = hidden.shape[1] // len(span)
    rows = []
    for column in [u for u in order if spreads[u]["n_clusters"] > 1][:SHOWN]:
        items = top[column]
        of = found.labels[items]
        by_cluster = items[np.lexsort((np.arange(len(items)), np.where(of < 0, found.n_clusters, of)))]
        tokens = tuple(
            StrongToken(sample.before[i], sample.string[i], float(hidden[i, column]), int(found.labels[i]))
            for i in by_cluster
        )
        spread = spreads[column]
        place = (int(span[column // width]), column % width)
        rows.append(NeuronRow(*place, spread["n_clusters"], spread["effective_clusters"], tokens))
    return tuple(rows)
