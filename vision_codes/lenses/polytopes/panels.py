"""The panels of a study beside density, paths and slices, each kept piece by piece: see the modules that they call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from eval.measures.clustering.clusters import Clusters
from eval.pieces import Arrays, Pieces
from eval.progress import say
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.lenses.polytopes.adversarial import way_out_row
from vision_codes.lenses.polytopes.directions import LEAST_CLUSTERS, site_directions
from vision_codes.lenses.polytopes.interventions import cluster_interventions
from vision_codes.lenses.polytopes.networks import TRAINED, Networks
from vision_codes.lenses.polytopes.panel_rows import (
    FixedPosition,
    InterventionRow,
    SiteDirections,
    WayOutRow,
)
from vision_codes.lenses.polytopes.patches import (
    ChannelVectors,
    channel_vectors,
    cluster_vectors,
    patch_sites,
    places_as_arrays,
)
from vision_codes.lenses.polytopes.positions import fixed_position
from vision_codes.lenses.polytopes.results import ChannelClusters


@dataclass
class Panels:
    """networks, x, labels, options, pieces: of the study."""

    networks: Networks
    x: Tensor
    labels: np.ndarray
    options: PolytopesConfig
    pieces: Pieces
    known: dict[tuple[str, str], tuple[ChannelVectors, Clusters, ChannelClusters]] = field(default_factory=dict)

    @property
    def sites(self) -> tuple[str, ...]:
        """Where channel vectors are read, deepest first."""
        return self.options.patch_sites or patch_sites(self.networks[TRAINED])

    def clusters(self, site: str, network: str = TRAINED) -> tuple[ChannelVectors, Clusters, ChannelClusters]:
        """Channel vectors of one site of one network, and their clusters; in memory once made."""
        if (site, network) not in self.known:
            say(f"clusters of channel vectors at {site}: {network}")
            options = self.options
            words = {"count": options.patches, "batch_size": options.inputs.batch_size, "seed": options.seed}
            vectors = channel_vectors(self.networks[network], self.x, site=site, **words)
            size = options.min_cluster_size
            found = cluster_vectors(vectors, self.labels, min_cluster_size=size, seed=options.seed)
            self.known[site, network] = (vectors, *found)
        return self.known[site, network]

    def fixed_position(self) -> tuple[FixedPosition, ...]:
        """The middle place of every image, in the trained network and in every living control."""
        if not self.options.fixed_position:
            return ()
        return tuple(
            self.pieces.item(f"position-{name}", FixedPosition, lambda name=name: self._fixed_position(name))
            for name in self.networks.names
        )

    def _fixed_position(self, name: str) -> FixedPosition:
        say(f"one place of every image: {name}")
        options = self.options
        words = {"min_cluster_size": options.min_cluster_size, "batch_size": options.inputs.batch_size}
        return fixed_position(
            self.networks[name], self.x, self.labels, self.sites, network=name, seed=options.seed, **words
        )

    def directions(self, by_site: Sequence[ChannelClusters]) -> tuple[tuple[SiteDirections, ...], Arrays]:
        """NMF directions at the deepest site with enough clusters, of every network; arrays: of the trained one's."""
        if not self.options.directions:
            return (), {}
        enough = [found for found in by_site if found.n_clusters >= LEAST_CLUSTERS]
        site = (enough or sorted(by_site, key=lambda found: -found.n_clusters))[0].site
        rows, arrays = [], {}
        for name in self.networks.names:
            row, kept = self.pieces.with_arrays(
                f"directions-{site}-{name}", SiteDirections, lambda name=name: self._directions(site, name)
            )
            rows.append(row)
            arrays = arrays or kept
        return tuple(rows), arrays

    def _directions(self, site: str, name: str) -> tuple[SiteDirections, Arrays]:
        vectors, found, _ = self.clusters(site, name)
        say(f"directions of channel activations at {site}: {name}")
        words = {"count": self.options.directions, "network": name, "seed": self.options.seed}
        row, crossed = site_directions(vectors, found, self.labels, **words)
        return row, crossed.arrays() | places_as_arrays(vectors)

    def ways_out(self) -> tuple[WayOutRow, ...]:
        """Steps across the decision boundary, of every network; paths are followed in the trained one."""
        if not self.options.adversarial:
            return ()
        return tuple(
            self.pieces.item(f"ways-out-{name}", WayOutRow, lambda name=name: self._ways_out(name))
            for name in self.networks.names
        )

    def _ways_out(self, name: str) -> WayOutRow:
        say(f"steps out of the class: {name}")
        options = self.options
        order = np.random.default_rng(options.seed).permutation(len(self.x))[: options.adversarial]
        samples = options.samples if name == TRAINED else 0
        words = {"samples": samples, "batch_size": options.inputs.batch_size, "seed": options.seed}
        return way_out_row(self.networks[name], self.x[np.sort(order)], network=name, **words)

    def interventions(self, site: str) -> tuple[InterventionRow, ...]:
        """The codes of the largest clusters of a site, set by hand in images that do not hold them."""
        if not self.options.interventions:
            return ()
        rows = self.pieces.item("interventions", tuple[InterventionRow, ...], lambda: self._interventions(site))
        return tuple(rows)

    def _interventions(self, site: str) -> tuple[InterventionRow, ...]:
        vectors, found, _ = self.clusters(site)
        say(f"codes of clusters set by hand at {site}")
        words = {"count": self.options.interventions, "batch_size": self.options.inputs.batch_size}
        return cluster_interventions(self.networks[TRAINED], self.x, vectors, found, seed=self.options.seed, **words)
