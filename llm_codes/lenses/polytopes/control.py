"""What the statements are judged on, measured alike on the network and on its untrained control.

A statement about a trained network that its untrained copy meets as well says nothing about training.

Axis glossary: ``item`` sampled tokens, ``direction``, ``cluster``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eval.measures.dictionaries.directions import overlap_above_chance
from eval.measures.statistics.resampling import bootstrap_mean, bootstrap_share
from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score
from llm_codes.lenses.polytopes.cluster_rows import ClusterStage, ClusterSummary
from llm_codes.lenses.polytopes.meaning import Meaning
from llm_codes.lenses.polytopes.rows import Boundary, Contrast, DensityStage, DirectionStage, Maps


@result
class Measured(Result):
    """The numbers behind predictions 1 and 2, the directions' boundaries and the footnote, of one network.

    codes, activations, nmf: share of clusters (of NMF directions) that are monosemantic, 0 to 1. overlap: polysemantic
    directions that meet several clusters, above random sets, -1 to 1; overlap_note: the two shares. contrast: by kind
    of class. boundary_gap: density along PCA directions minus along random ones. meaning: the effect sizes that
    prediction 1 is judged on; the shares above count significant sets, which grow with the text, and are not judged.
    """

    codes: Score
    activations: Score
    nmf: Score
    overlap: Score
    overlap_note: str
    contrast: Mapping[str, Contrast]
    hamming_frobenius: Score
    boundary_gap: Score | None = noted(default=None, when_set=True)
    meaning: tuple[Meaning, ...] = ()


def measured(
    clusters: ClusterStage, directions: DirectionStage, density: DensityStage, maps: Maps, seed: int
) -> Measured:
    """The numbers of one network, from its stages."""
    both, nmf = clusters.clusters, directions.directions.nmf.directions
    impure = [items.astype(np.int64) for items, row in zip(directions.top, nmf, strict=True) if not row.is_pure]
    overlap, note = _overlap(both.codes.n_clusters, impure, clusters.code_labels, seed)
    return Measured(
        codes=_pure_share(both.codes, seed),
        activations=_pure_share(both.activations, seed),
        nmf=bootstrap_share(np.array([row.is_pure for row in nmf], dtype=float), minimum_groups=10, seed=seed),
        overlap=overlap,
        overlap_note=note,
        contrast=density.contrast,
        hamming_frobenius=maps.hamming_frobenius,
        boundary_gap=_boundary_gap(directions.directions.boundaries, seed),
        meaning=(*clusters.meaning, *directions.meaning),
    )


def _pure_share(block: ClusterSummary, seed: int) -> Score:
    """Share of clusters whose token or next-token entropy is below chance."""
    pure = np.array([card.is_pure for card in block.cards], dtype=float)
    if not len(pure):
        return Score.undefined(block.reason or "no cluster", 0)
    return bootstrap_share(pure, minimum_groups=10, seed=seed)


def _overlap(n_clusters: int, top: list[np.ndarray], labels: np.ndarray, seed: int) -> tuple[Score, str]:
    """Do the top tokens of polysemantic directions meet two or more clusters more often than random tokens?"""
    if n_clusters < 3:
        return Score.undefined(f"{n_clusters} clusters of codes; overlap needs at least 3", len(top)), ""
    if not top:
        return Score.undefined("no NMF direction is polysemantic by this test", 0), ""
    score, chance = overlap_above_chance(top, labels, seed=seed)
    share = chance + (score.value or 0.0)
    note = f"{share:.2g} of {len(top)} polysemantic directions, {chance:.2g} of random token sets of the same size"
    return score, note


def _boundary_gap(boundaries: Sequence[Boundary], seed: int) -> Score | None:
    """Density along PCA directions minus along random ones, direction for direction."""
    of_kind = {k: np.array([row.density for row in boundaries if row.kind == k]) for k in ("pca", "random")}
    both = min(len(v) for v in of_kind.values())
    if not both:
        return None
    return bootstrap_mean(of_kind["pca"][:both] - of_kind["random"][:both], minimum_groups=10, seed=seed)
