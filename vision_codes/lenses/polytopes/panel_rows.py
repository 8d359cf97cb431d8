"""Results of the panels beside the statements: fixed positions and flow, directions and units, ways out, interventions.

Axis glossary: ``image``, ``site``, ``cluster``, ``direction`` and ``unit`` of the channel activations.
"""

from __future__ import annotations

import numpy as np

from eval.measures.codes.region_flow import Flow
from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score


@result
class PositionRow(Result):
    """Clusters of one fixed place of every image. of: `codes`, `activations` or `codes of all sites`. below_null: how
    many hold fewer classes than shuffled labels give (5% false discovery)."""

    network: str
    of: str
    site: str
    n_images: int
    n_clusters: int
    noise_share: float
    below_null: int
    reason: str | None


@result
class FlowRow(Result):
    """How regions go over from one site to the next."""

    network: str
    first: str
    second: str
    flow: Flow = noted(inline=True)


@result
class FixedPosition(Result):
    """One place in the middle of every image: its clusters by site, and how they go over into the next site's."""

    clusters: tuple[PositionRow, ...]
    flow: tuple[FlowRow, ...]


@result
class DirectionRow(Result):
    """One NMF direction of channel activations: the clusters of codes, and the classes, among its strongest places."""

    n_items: int
    n_clusters: int
    effective_clusters: float
    largest_share: float | None
    noise_share: float | None
    class_entropy_bits: float
    top_class: int


@result
class UnitRow(Result):
    """One channel whose strongest places lie in several clusters of codes. members, clusters: those places (numbers in
    the site's draw) and the cluster of each, cluster by cluster; -1: in none."""

    unit: int
    n_clusters: int
    effective_clusters: float
    class_entropy_bits: float
    members: np.ndarray
    clusters: np.ndarray


@result
class SiteDirections(Result):
    """NMF of one network's channel activations at one site against the clusters of its codes. overlap: share of
    directions that meet two or more clusters, minus that of random sets of places; by_chance: the latter."""

    network: str
    site: str
    n_clusters: int
    unexplained: float | None
    overlap: Score
    by_chance: float | None
    directions: tuple[DirectionRow, ...] = noted(default=(), key="rows")
    units: tuple[UnitRow, ...] = ()


@result
class WayOutRow(Result):
    """The smallest step found that changes an image's class, against a random one and one towards another image, of
    the same length.

    relative_length: of the step, over the norm of the (normalised) image. log2_changes: log2 of the switches that
    differ after the step over those after the random one, summed over images; log2_changes_image: over those after
    the one towards an image. ridge: log2 of the crossings per length where the class changes over those on the rest of
    the path to twice the step; ridge_random: at the same place of the random path. Undefined where no path was
    followed.
    """

    network: str
    n_images: int
    n_found: int
    relative_length: Score
    log2_changes: Score
    log2_changes_image: Score
    ridge: Score
    ridge_random: Score


@result
class InterventionRow(Result):
    """What follows when the code of a cluster is set at every place of images that do not hold it, and when as many
    switches are set at random. towards: gain in nats of the log-probability of what the network says of the cluster's
    own images; values: what a switch set by hand passes on (`eval.measures.geometry.forced_codes.Values`);
    class_changed, later_changed: share of images, and of later switches, that change."""

    cluster: int
    site: str
    values: str
    units: tuple[int, ...]
    n_images: int
    flipped_per_place: float
    towards: Score
    towards_random: Score
    beyond_random: Score
    class_changed: float
    class_changed_random: float
    later_changed: float
    later_changed_random: float
