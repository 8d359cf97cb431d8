"""Neurons that look polysemantic, with the polytope regions that their strongest tokens fall into.

Axis glossary: ``item`` sampled tokens, ``unit`` hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.measures.clustering.clusters import Clusters
from eval.measures.dictionaries.directions import most_spread
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
    width = hidden.shape[1] // len(span)
    rows = []
    for one in most_spread(hidden, found.labels, n_top=TOP_ITEMS, shown=SHOWN):
        tokens = tuple(
            StrongToken(sample.before[i], sample.string[i], float(hidden[i, one.column]), int(found.labels[i]))
            for i in one.items
        )
        place = (int(span[one.column // width]), one.column % width)
        rows.append(NeuronRow(*place, one.n_clusters, one.effective_clusters, tokens))
    return tuple(rows)
