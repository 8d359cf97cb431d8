"""What `vision_codes polytopes` finds, row by row: the documented keys of its `results.json`.

Axis glossary: ``bin`` of a path's parameter, ``image`` and ``layer`` as in `density`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eval.claims import Claim, Verdict
from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score
from vision_codes.lenses.polytopes.panel_rows import FixedPosition, InterventionRow, SiteDirections, WayOutRow


@result
class NetworkFacts(Result):
    """What was measured; `dead_controls`: controls that are not used, with the reason."""

    layers: tuple[str, ...]
    path_layers: tuple[str, ...]
    n_images: int
    image_size: int
    n_sites: int
    n_units: int
    dead_controls: Mapping[str, str]
    piecewise_linear: bool


@result
class DensityRow(Result):
    """Boundaries per unit distance within (`intra`) and between (`inter`) classes in one layer's input space."""

    network: str
    layer: str
    counting: str
    intra: Score
    inter: Score
    ratio: Score
    p: float | None
    left_out: str | None


@result
class NetworkDensity(Result):
    """Every layer of one network; `trend`: rank correlation of depth and ratio."""

    layers: tuple[DensityRow, ...]
    trend: Score


@result
class NoiseRow(Result):
    """Density among real activations and among Gaussian noise of the same mean, covariance and norms."""

    layer: str
    n: int
    data_density: float
    noise_density: float
    ratio: float | None


@result
class InterpolationRow(Result):
    """Paths between images of one kind of pair at one layer; `crossings`: mean per bin."""

    layer: str
    pairs: str
    counting: str
    n_paths: int
    density: float | None
    density_se: float | None
    crossings: np.ndarray | None
    class_changes: float | None
    reason: str | None


@result
class ClassReached(Result):
    """A class that is predicted somewhere beyond the activation and not at it; images: on how many rays."""

    name: str
    images: int


@result
class ScalingRow(Result):
    """Activations of one network scaled by 0..3 at one layer; see `rays.scaling_summary` for each number."""

    layer: str
    counting: str
    n_images: int
    log2_peak: Score
    class_changed_by_3: Score
    crossings: np.ndarray
    crossings_per_path: float
    peak_at: float | None
    peak_at_reason: str | None
    peak_location: Score
    rise: Score
    fall: Score
    prominence: Score
    shape: str
    n_samples: int | None
    peak_location_half_samples: float | None
    prominence_half_samples: float | None
    log2_peak_half_samples: float | None
    share_of_crossings_beyond_1: float | None
    share_of_class_changes_beyond_1: float | None
    class_change_rate: np.ndarray
    classes_beyond: tuple[ClassReached, ...] = ()
    network: str = "trained"


@result
class MapsRow(Result):
    """Does the Hamming distance of codes track the Frobenius distance of local maps? n_images: compared; on_walls: left
    out beside them, because their point lies on the wall between polytopes and has no map of its own."""

    layer: str
    n_images: int
    n_probes: int
    rank_correlation: Score
    network: str = "trained"
    on_walls: int = 0


@result
class ClusterCard(Result):
    """One cluster of channel codes: its size, the entropy of its classes against shuffled labels, its members."""

    cluster: int
    size: int
    n_images: int
    class_entropy_bits: float
    shuffled_entropy_bits: float
    top_class: int
    top_class_share: float
    members: np.ndarray
    p_adjusted: float


@result
class SiteClusters(Result):
    """How the channel codes of one site cluster."""

    site: str
    n_vectors: int
    n_clusters: int
    noise_share: float
    below_null: int
    reason: str | None
    network: str = "trained"


@result
class ChannelClusters(Result):
    """The clusters of one site with a card each."""

    site: str
    n_vectors: int
    n_clusters: int
    noise_share: float
    min_cluster_size: int
    reason: str | None
    below_null: int
    cards: tuple[ClusterCard, ...]

    def short(self, network: str = "trained") -> SiteClusters:
        """The line of the table over sites."""
        counts = (self.n_vectors, self.n_clusters, self.noise_share, self.below_null)
        return SiteClusters(self.site, *counts, self.reason, network)


@result
class ClustersFound(Result):
    """`codes`: the deepest site with clusters (the deepest, with the reason, where none has); every site beside;
    `controls`: that site in the control networks."""

    codes: ChannelClusters
    by_site: tuple[SiteClusters, ...]
    controls: tuple[SiteClusters, ...] = ()


@result
class SliceFacts(Result):
    """An exact slice: how much of the plane it shows, whether it is complete, and the checks of its cells."""

    n_regions: int
    complete: bool
    covered_share: float
    classes_of_the_three: np.ndarray
    window_share: float
    window_width: float
    relative_area_error: float | None
    centroid_codes_checked: int
    centroid_codes_distinct: int
    boundaries: Mapping[str, int]


@result
class PlacedSlice(Result):
    """A slice and where it starts: at a layer or at the pixels."""

    start: str = noted(key="from")
    image_size: int
    facts: SliceFacts = noted(inline=True)


@result
class SlicesFound(Result):
    """Slices through three images; only the reason where there are not three classes."""

    images: tuple[int, ...] | None = noted(default=None, when_set=True)
    late: PlacedSlice | None = noted(default=None, when_set=True)
    whole: PlacedSlice | None = noted(default=None, when_set=True)
    reason: str | None = noted(default=None, when_set=True)


@result
class ImagePolytopes(Result):
    """The polytope lens on one image network."""

    table = "density"

    network: NetworkFacts
    density: tuple[DensityRow, ...]
    noise: tuple[NoiseRow, ...]
    interpolation: tuple[InterpolationRow, ...]
    scaling: tuple[ScalingRow, ...]
    affine_maps: MapsRow
    affine_maps_of_controls: tuple[MapsRow, ...]
    clusters: ClustersFound
    slices: SlicesFound
    fixed_position: tuple[FixedPosition, ...] = ()
    directions: tuple[SiteDirections, ...] = ()
    ways_out: tuple[WayOutRow, ...] = ()
    interventions: tuple[InterventionRow, ...] = ()


@result
class Prediction(Result):
    """A claim in the short form of the table `predictions`."""

    prediction: str
    verdict: Verdict
    number: float | None
    ci: tuple[float, float] | None


@result
class Judged(Result):
    """The verdicts on one network."""

    claims: tuple[Claim, ...]
    predictions: tuple[Prediction, ...]


@result
class ResultsFile(Result):
    """`results.json` of the verb: measurements, verdicts, and the images they are of."""

    found: ImagePolytopes = noted(inline=True)
    judged: Judged = noted(inline=True)
    provenance_data: Mapping[str, Any]
