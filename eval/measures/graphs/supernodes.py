"""Which nodes of a graph belong together? Groups by direction, co-activation and position, and how stable they are.

Axis glossary: ``node`` the features of one prompt's graph, ``token`` tokens of a text, ``group`` its documents.

    s(i, j) = (max(cos(d_i, d_j), 0) + max(corr(a_i, a_j), 0) + 1 / (1 + |p_i - p_j|)) / 3

with d what a node writes, a its activation over a text, p its position in the prompt; in [0, 1]. Groups are those of
average linkage cut where the mean similarity falls below a threshold [Ameisen et al. 2025 group by hand].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from eval.errors import UserError

Labels = Int[np.ndarray, " node"]


@dataclass(frozen=True)
class Nodes:
    """directions: what nodes write; activity: their activations over a text; documents: of its tokens; positions."""

    directions: Float[np.ndarray, "node width"]
    activity: Float[np.ndarray, "token node"]
    documents: Int[np.ndarray, " token"]
    positions: Int[np.ndarray, " node"]


@dataclass(frozen=True)
class Stability:
    """of_group: for each group, the mean over resamples of its best overlap (Jaccard index) with a group of the
    resample, in (0, 1], 1 where it always comes back [Hennig 2007, clusterwise stability]. mean: over nodes in groups
    of two and more; null: the same where the co-activations are those of other nodes, so that only direction and
    position, which no resample moves, hold groups together. Both are None where there is no such group."""

    of_group: dict[int, float]
    mean: float | None
    null: float | None


def grouped(nodes: Nodes, least: float = 0.5) -> Labels:
    """The group of each node, numbered from 0 in the order of their first nodes.

    Raises:
        UserError: least outside (0, 1].
    """
    if not 0 < least <= 1:
        raise UserError(f"expected a least similarity in (0, 1]; got {least:g}; .5 is usual")
    fixed = _fixed(nodes)
    return _cut(fixed + _together(nodes.activity) / 3, least)


def stability(nodes: Nodes, labels: Labels, least: float = 0.5, *, resamples: int = 50, seed: int = 0) -> Stability:
    """Do the groups come back where the documents of the text are drawn anew?"""
    sizes = {int(label): int((labels == label).sum()) for label in np.unique(labels)}
    generator = np.random.default_rng(seed)
    names = np.unique(nodes.documents)
    if max(sizes.values(), default=0) < 2 or len(names) < 2:
        return Stability({}, None, None)
    fixed, rows = _fixed(nodes), {name: np.flatnonzero(nodes.documents == name) for name in names}
    shuffled = nodes.activity[:, generator.permutation(len(labels))]
    base = _cut(fixed + _together(shuffled) / 3, least)
    found, null = [], []
    for _ in range(resamples):
        drawn = np.concatenate([rows[name] for name in generator.choice(names, len(names))])
        found.append(_overlaps(labels, _cut(fixed + _together(nodes.activity[drawn]) / 3, least)))
        null.append(_overlaps(base, _cut(fixed + _together(shuffled[drawn]) / 3, least)))
    of_group = {label: float(np.mean([one[label] for one in found])) for label in found[0]}
    return Stability(of_group, _over_nodes(found, labels), _over_nodes(null, base))


def _fixed(nodes: Nodes) -> Float[np.ndarray, "node node"]:
    """The parts of the similarity that no resample moves."""
    norms = np.linalg.norm(nodes.directions, axis=1, keepdims=True)
    unit = nodes.directions / np.where(norms > 0, norms, 1)
    apart = np.abs(nodes.positions[:, None] - nodes.positions[None])
    return (np.maximum(unit @ unit.T, 0) + 1 / (1 + apart)) / 3


def _together(activity: Float[np.ndarray, "token node"]) -> Float[np.ndarray, "node node"]:
    """Correlation over tokens, 0 where it is negative or a node never changes."""
    centred = activity - activity.mean(0)
    norms = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(norms > 0, norms, 1)
    return np.maximum(unit.T @ unit, 0)


def _cut(similarity: Float[np.ndarray, "node node"], least: float) -> Labels:
    if len(similarity) < 2:
        return np.zeros(len(similarity), dtype=int)
    distance = 1 - np.minimum((similarity + similarity.T) / 2, 1)
    np.fill_diagonal(distance, 0)
    raw = fcluster(linkage(squareform(distance, checks=False), "average"), 1 - least, "distance")
    first = {label: number for number, label in enumerate(dict.fromkeys(raw.tolist()))}
    return np.array([first[label] for label in raw.tolist()])


def _overlaps(labels: Labels, others: Labels) -> dict[int, float]:
    """The best Jaccard index of every group of two and more with a group of the others."""
    out = {}
    for label in np.unique(labels):
        own = labels == label
        if own.sum() >= 2:
            rivals = (others == other for other in np.unique(others[own]))
            out[int(label)] = max(float((own & rival).sum() / (own | rival).sum()) for rival in rivals)
    return out


def _over_nodes(found: Sequence[dict[int, float]], labels: Labels) -> float | None:
    sizes = {label: int((labels == label).sum()) for label in (found[0] if found else {})}
    if not sizes:
        return None
    total = sum(sizes.values())
    return float(np.mean([sum(one[label] * size for label, size in sizes.items()) / total for one in found]))
