"""Clusters of channel vectors: what one place of the image looks like to a layer, as a code, with its image patches.

Axis glossary: ``vector`` one image position's channels, ``channel``, ``cluster``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.clustering.clusters import Clusters, cluster_codes
from eval.measures.codes.polytope import CodeMap, CodePart, SplineCodes
from eval.measures.geometry.piecewise_linear import Program, Step, walk
from eval.measures.geometry.switches import Switch
from eval.measures.statistics.resampling import benjamini_hochberg
from vision_codes.lenses.polytopes.density import batches
from vision_codes.lenses.polytopes.results import ChannelClusters, ClusterCard


@dataclass(frozen=True)
class Places:
    """Where the channel vectors of one site come from: image, row, column of `grid`, each ``[vector]``."""

    site: str
    image: np.ndarray
    row: np.ndarray
    column: np.ndarray
    grid: tuple[int, int]


def places_as_arrays(places: Places) -> dict[str, np.ndarray]:
    """Places of channel vectors as arrays."""
    return {f.name: np.asarray(getattr(places, f.name)) for f in fields(Places)}


@dataclass(frozen=True)
class ChannelVectors(Places):
    """Channel vectors of one site as codes, and where each comes from. values: what enters the switch."""

    codes: SplineCodes
    values: Float[np.ndarray, "vector channel"]
    switch: Switch


def patch_sites(program: Program, count: int = 4) -> tuple[str, ...]:
    """`count` convolutional switches with at least 4 x 4 positions, evenly over depth, deepest first.

    Raises `UserError` for a network without one.
    """
    sites = [s.site for s in program.sites if s.switch is not None and len(s.shape) == 4 and s.shape[-1] >= 4]
    if not sites:
        raise UserError(f"expected a convolutional switch with 4 x 4 positions or more; {program.name} has none")
    places = np.linspace(len(sites) - 1, 0, min(count, len(sites))).round().astype(int)
    return tuple(dict.fromkeys(sites[place] for place in places))


def channel_vectors(
    program: Program, x: Tensor, *, count: int, site: str = "", batch_size: int = 8, seed: int = 0
) -> ChannelVectors:
    """Codes of `count` random image positions at one site (default: the deepest with at least 4 x 4 positions).

    Raises `UserError` for a network without a convolutional switch, and for an unknown site.
    """
    name = known_name(site, [s.site for s in program.sites], "site") if site else patch_sites(program, 1)[0]
    chosen: Step = next(s for s in program.sites if s.site == name)
    if chosen.switch is None or len(chosen.shape) != 4:
        raise UserError(
            f"expected a convolutional switch; got {name!r}; choose one of {', '.join(patch_sites(program))}"
        )
    channels, rows, columns = chosen.shape[-3:]
    total = len(x) * rows * columns
    keep = np.sort(np.random.default_rng(seed).permutation(total)[:count])
    code_map = CodeMap(
        (CodePart(chosen.site, "channels", (channels,), chosen.switch.thresholds),), chosen.site, program.name
    )
    parts, values, start = [], [], 0
    with torch.no_grad():
        for batch in batches(x, batch_size):
            z = next(z for step, z in walk(program, batch) if step.name == chosen.name)
            vectors = rearrange(
                z, "image one channel row column -> (image one row column) channel"
            )  # one: traced batch
            mine = keep[(keep >= start) & (keep < start + len(vectors))] - start
            start += len(vectors)
            if len(mine):
                values.append(vectors[torch.as_tensor(mine)])
                parts.append(SplineCodes.hard(code_map, {chosen.site: values[-1]}))
    image, position = np.divmod(keep, rows * columns)
    row, column = np.divmod(position, columns)
    where, before = (chosen.site, image, row, column, (rows, columns)), torch.cat(values).double().numpy()
    return ChannelVectors(*where, SplineCodes.concatenate(parts), before, chosen.switch)


def class_entropy(members: np.ndarray, n_classes: int) -> float:
    """Entropy in bits of the classes among a cluster's members; 0: one class."""
    share = np.bincount(members, minlength=n_classes) / max(1, len(members))
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def cluster_vectors(
    vectors: ChannelVectors, labels: np.ndarray, *, min_cluster_size: int = 15, n_shuffles: int = 200, seed: int = 0
) -> tuple[Clusters, ChannelClusters]:
    """Clusters of the codes, and each with the entropy of its classes (`judged_clusters`)."""
    # min_samples=5: patches of one image overlap, so small dense groups are what there is to find
    found = cluster_codes(vectors.codes, min_cluster_size=min_cluster_size, min_samples=5, method="leaf")
    return found, judged_clusters(found, vectors, labels, n_shuffles=n_shuffles, seed=seed)


def judged_clusters(
    found: Clusters, places: Places, labels: np.ndarray, *, n_shuffles: int = 200, seed: int = 0
) -> ChannelClusters:
    """Each cluster with the entropy of its classes against shuffled image labels.

    The null shuffles the labels of *images* (positions of an image keep a common label); p-values are adjusted over
    clusters (Benjamini-Hochberg, 5%). A cluster of patches need not be a class: sky is sky on every ship.
    """
    generator = np.random.default_rng(seed)
    classes = labels[places.image]
    n_classes = int(labels.max()) + 1
    shuffled = np.stack([generator.permutation(labels)[places.image] for _ in range(n_shuffles)])
    cards, p_values = [], []
    for cluster in range(found.n_clusters):
        members = found.members(cluster)
        own = class_entropy(classes[members], n_classes)
        null = np.array([class_entropy(row[members], n_classes) for row in shuffled])
        p_values.append((1 + (null <= own).sum()) / (1 + n_shuffles))
        counts = np.bincount(classes[members], minlength=n_classes)
        most = (int(counts.argmax()), float(counts.max() / len(members)))
        images = len(np.unique(places.image[members]))
        cards.append((cluster, len(members), images, own, float(null.mean()), *most, members[:24]))
    adjusted = benjamini_hochberg(np.array(p_values)) if p_values else np.empty(0)
    return ChannelClusters(
        site=places.site,
        n_vectors=len(places.image),
        n_clusters=found.n_clusters,
        noise_share=found.noise_share,
        min_cluster_size=found.min_cluster_size,
        reason=found.reason,
        below_null=int((adjusted < 0.05).sum()),
        cards=tuple(ClusterCard(*card, p_adjusted=float(p)) for card, p in zip(cards, adjusted, strict=True)),
    )


def patch(
    images: np.ndarray, vectors: Places, item: int, share: float = 0.45
) -> Float[np.ndarray, "height width channel"]:
    """The part of the stored image around a channel vector's place, in [0, 1]; about `share` of its side."""
    image = images[vectors.image[item]]
    size = image.shape[-1]
    half = max(2, round(size * share / 2))
    row = round((vectors.row[item] + 0.5) / vectors.grid[0] * size)
    column = round((vectors.column[item] + 0.5) / vectors.grid[1] * size)
    padded = np.pad(image, ((0, 0), (half, half), (half, half)), mode="edge")
    cut = padded[:, row : row + 2 * half, column : column + 2 * half]
    return np.moveaxis(cut, 0, -1) / 255
