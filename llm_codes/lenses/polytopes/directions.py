"""Directions of the hidden activations: clusters they cross, what their strongest tokens mean, boundaries along them.

Axis glossary: ``item`` sampled tokens, ``direction``, ``width``.
"""

from __future__ import annotations

import numpy as np

from eval.measures.clustering.clusters import Clusters, cluster_points
from eval.measures.clustering.monosemanticity import Monosemanticity, monosemanticity
from eval.measures.dictionaries.directions import (
    Directions as Fitted,
)
from eval.measures.dictionaries.directions import (
    clusters_crossed,
    cosine_histograms,
    nmf_directions,
    pca_directions,
    top_items,
)
from eval.measures.geometry.layer_norm_segment import layer_norm_crossings
from llm_codes.lenses.polytopes.maps import Block
from llm_codes.lenses.polytopes.meaning import meaning_of_directions
from llm_codes.lenses.polytopes.rows import Boundary, DirectionRow, Directions, DirectionSet, DirectionStage
from llm_codes.lenses.polytopes.samples import TokenSample

TOP_ITEMS = 20


def describe_directions(
    sample: TokenSample, hidden: np.ndarray, stream: np.ndarray, found: Clusters, block: Block, count: int,
    negative: str, seed: int, *, projections: bool = True,
) -> DirectionStage:  # fmt: skip
    """NMF and PCA directions of the hidden activations: clusters crossed, meaning of the top tokens, clusters of each
    NMF direction's scalar projection; and how many boundaries PCA directions of the residual stream cross within the
    data's range (exact for the first block). projections: whether each NMF direction's projection is clustered."""
    nmf, pca = nmf_directions(hidden, count, negative=negative, seed=seed), pca_directions(hidden, count)
    edges, counts = cosine_histograms(hidden, nmf.vectors, found.labels)
    described = Directions(
        nmf=_described(nmf, sample, found, seed, hidden=hidden if projections else None),
        pca=_described(pca, sample, found, seed),
        boundaries=_boundaries(stream, block, seed),
    )
    meaning = meaning_of_directions(nmf.scores, hidden, sample, count, seed)
    return DirectionStage(described, edges, counts, tuple(top_items(nmf.scores, TOP_ITEMS)), meaning)


def _described(
    fitted: Fitted, sample: TokenSample, found: Clusters, seed: int, *, hidden: np.ndarray | None = None
) -> DirectionSet:
    """A set's rows; with the hidden activations also the clusters of each direction's projection."""
    top = top_items(fitted.scores, TOP_ITEMS)
    crossed = clusters_crossed(top, found.labels)
    projections = None if hidden is None else (hidden @ fitted.vectors.T).T
    token, following = (monosemanticity(top, labels, seed=seed) for labels in (sample.token, sample.next_token))
    rows = []
    for number, (items, spread) in enumerate(zip(top, crossed, strict=True)):
        projected: tuple[int | None, int | None] = (None, None)
        if projections is not None:
            projected = _projection_clusters(projections[number], sample, found.min_cluster_size, seed)
        rows.append(
            DirectionRow(
                **spread,
                token_monosemantic=bool(token.monosemantic()[number]),
                token_q=_known(token, "q", number),
                token_reduction=_known(token, "reduction", number),
                next_token_monosemantic=bool(following.monosemantic()[number]),
                next_token_q=_known(following, "q", number),
                next_token_reduction=_known(following, "reduction", number),
                top_tokens=tuple(sample.string[i] for i in items[:5]),
                projection_clusters=projected[0],
                projection_monosemantic=projected[1],
            )
        )
    return DirectionSet(fitted.method, fitted.unexplained, tuple(rows))


def _known(test: Monosemanticity, name: str, number: int) -> float | None:
    value = float(getattr(test, name)[number])
    return value if np.isfinite(value) else None


def _projection_clusters(projection: np.ndarray, sample: TokenSample, size: int, seed: int) -> tuple[int, int]:
    """Clusters of one direction's scalar projection, and how many hold one meaning (as for the clusters of codes)."""
    found = cluster_points(projection[:, None], min_cluster_size=size, min_samples=5, method="leaf")
    members = [found.members(cluster) for cluster in range(found.n_clusters)]
    pure = np.zeros(len(members), dtype=bool)
    for labels in (sample.token, sample.next_token):
        pure |= monosemanticity(members, labels, n_draws=200, seed=seed).monosemantic()
    return len(members), int(pure.sum())


def _boundaries(stream: np.ndarray, block: Block, seed: int, count: int = 16) -> tuple[Boundary, ...]:
    """Exact crossings of the first coded block along PCA and random directions, from the 5th to the 95th percentile."""
    stream = stream.astype(np.float64)
    mean = stream.mean(0)
    random = np.random.default_rng(seed).normal(size=(count, stream.shape[1]))
    sets = {
        "pca": pca_directions(stream, count).vectors,
        "random": random / np.linalg.norm(random, axis=1, keepdims=True),
    }
    rows = []
    for kind, vectors in sets.items():
        for number, vector in enumerate(vectors):
            low, high = np.quantile((stream - mean) @ vector, [0.05, 0.95])
            if high <= low:
                continue
            crossed = layer_norm_crossings(
                mean + low * vector, mean + high * vector, block.w_in.numpy(), block.b_in.numpy(),
                scale=block.scale.numpy(), offset=block.offset.numpy(), epsilon=block.epsilon, centre=block.centre,
            )  # fmt: skip
            rows.append(Boundary(kind, number, crossed.count, crossed.length, crossed.density, crossed.kind))
    return tuple(rows)
