"""`python -m vision_codes polytopes`: the polytope lens on a convolutional network and a set of images.

    model = load_model("efficientnet-lite0")
    found, artefacts = polytopes(model, images.images, images.labels)

Density within and between classes by layer, paths between images and through scaled activations, noise, distances of
local affine maps, clusters of channel vectors, exact slices; and, with four controls, a verdict on each of the
statements of Black et al. (2022) that images can test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import Tensor

from eval.errors import UserError
from eval.measures.codes.class_density import check_classes
from eval.measures.geometry.tracing import trace
from eval.pieces import Arrays, Pieces
from eval.progress import say
from vision_codes.configs.polytopes import LEAST_IMAGES, PolytopesConfig
from vision_codes.lenses.polytopes.artefacts import (
    Artefacts,
    paths_as_arrays,
    paths_of,
    places_of,
    slice_as_arrays,
    slice_of,
)
from vision_codes.lenses.polytopes.density import choose_layers, layer_densities, matched_noise, noise_density
from vision_codes.lenses.polytopes.maps import maps_row
from vision_codes.lenses.polytopes.networks import TRAINED, Networks
from vision_codes.lenses.polytopes.panel_rows import SiteDirections
from vision_codes.lenses.polytopes.panels import Panels
from vision_codes.lenses.polytopes.patches import places_as_arrays
from vision_codes.lenses.polytopes.paths import interpolation, interpolation_summary
from vision_codes.lenses.polytopes.rays import NOISE, scaling, scaling_summary, settled_rows
from vision_codes.lenses.polytopes.results import (
    ChannelClusters,
    ClustersFound,
    DensityRow,
    ImagePolytopes,
    InterpolationRow,
    MapsRow,
    NetworkDensity,
    NoiseRow,
    PlacedSlice,
    ScalingRow,
    SiteClusters,
    SlicesFound,
)
from vision_codes.lenses.polytopes.slices import slice_after, three_classes
from vision_codes.models import VisionModel

STUDY = (__name__,)


def polytopes(
    model: VisionModel,
    images: np.ndarray,
    labels: np.ndarray,
    config: PolytopesConfig | None = None,
    slicing: VisionModel | None = None,
    pieces: Pieces | None = None,
) -> tuple[ImagePolytopes, Artefacts]:
    """The whole analysis of one network.

    Args:
        model: from `load_model`.
        images: uint8 ``[image 3 height width]``; labels: ``[image]``, two classes or more.
        config: options (defaults where None).
        slicing: the same network built for small images, for the slice through all of it; `None` skips that slice.
        pieces: where finished pieces are kept (None: nowhere); a run that was killed computes the others only.

    Returns:
        what was measured (`claims.documented` judges it), and what figures and claims need.
    """
    options = config or PolytopesConfig(out="")
    if len(images) < LEAST_IMAGES or len(np.unique(labels)) < 2:
        raise UserError(
            f"expected at least {LEAST_IMAGES} images of 2 classes; got {len(images)} of {len(np.unique(labels))}"
        )
    check_classes(np.asarray(labels))
    x = model.inputs(images)
    pieces = pieces or Pieces()
    networks = Networks(model, x, options, pieces)
    layers = choose_layers(networks[TRAINED], options.layers)
    study = _Study(model, networks, x, images, np.asarray(labels), layers, options, pieces)
    found = ImagePolytopes(
        network=networks.describe(layers, study.path_layers),
        density=study.density(),
        noise=study.noise(),
        interpolation=study.interpolation(),
        scaling=study.scaling(),
        affine_maps=study.maps(),
        affine_maps_of_controls=study.maps_of_controls(),
        clusters=(clusters := study.clusters()),
        slices=study.slices(slicing),
        fixed_position=study.panels.fixed_position(),
        directions=study.directions(),
        ways_out=study.panels.ways_out(),
        interventions=study.panels.interventions(clusters.codes.site) if clusters.codes.n_clusters else (),
    )
    return found, study.artefacts


@dataclass
class _Study:
    model: VisionModel
    networks: Networks
    x: Tensor
    images: np.ndarray
    labels: np.ndarray
    layers: tuple[str, ...]
    options: PolytopesConfig
    pieces: Pieces
    artefacts: Artefacts = field(default_factory=Artefacts)
    distances: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = (self.layers[len(self.layers) // 2], self.layers[-2], self.layers[-1])
        self.path_layers: tuple[str, ...] = tuple(dict.fromkeys(layers))
        self.program = self.networks[TRAINED]
        self.batch_size = self.options.inputs.batch_size
        self.panels = Panels(self.networks, self.x, self.labels, self.options, self.pieces)
        self.by_site: list[ChannelClusters] = []

    def density(self) -> tuple[DensityRow, ...]:
        rows: list[DensityRow] = []
        for name in self.networks.names:
            key = f"density-{name}"
            found, arrays = self.pieces.with_arrays(key, NetworkDensity, lambda name=name: self._density(name))
            rows += found.layers
            self.artefacts.trends[name] = found.trend
            self.distances[name] = arrays["distances"]
        return tuple(rows)

    def _distances(self, name: str) -> np.ndarray:
        """Hamming distances of a network's codes after every layer."""
        if name not in self.distances:
            _, arrays = self.pieces.with_arrays(f"density-{name}", NetworkDensity, lambda: self._density(name))
            self.distances[name] = arrays["distances"]
        return self.distances[name]

    def _density(self, name: str) -> tuple[NetworkDensity, Arrays]:
        say(f"density: {name}")
        found = layer_densities(
            self.networks[name], self.x, self.labels, self.layers, batch_size=self.batch_size, seed=self.options.seed
        )
        return NetworkDensity(tuple(found.rows(name)), found.trend), {"distances": found.distances}

    def at(self, layer: str, network: str = TRAINED) -> Tensor:
        return self.networks.at(layer, self.path_layers, network)

    @property
    def counting(self) -> dict[str, int]:
        return {"exact_up_to": self.options.exact_up_to, "samples": self.options.samples}

    def noise(self) -> tuple[NoiseRow, ...]:
        words = {"batch_size": self.batch_size, "seed": self.options.seed}

        def row(layer: str) -> NoiseRow:
            return noise_density(self.program, layer, self.at(layer), **words)

        return tuple(self.pieces.item(f"noise-{layer}", NoiseRow, partial(row, layer)) for layer in self.path_layers)

    def interpolation(self) -> tuple[InterpolationRow, ...]:
        rows: list[InterpolationRow] = []
        for layer in self.path_layers:
            found, arrays = self.pieces.with_arrays(
                f"interpolation-{layer}", tuple[InterpolationRow, ...], lambda layer=layer: self._interpolation(layer)
            )
            self.artefacts.interpolations.append(paths_of(arrays))
            rows += found
        return tuple(rows)

    def _interpolation(self, layer: str) -> tuple[tuple[InterpolationRow, ...], Arrays]:
        say(f"interpolation at {layer}")
        tail, pairs, seed = self.program.tail(layer), self.options.pairs, self.options.seed
        paths = interpolation(tail, layer, self.at(layer), self.labels, pairs, seed, **self.counting)
        return tuple(interpolation_summary(path) for path in paths.values()), paths_as_arrays(paths)

    def scaling(self) -> tuple[ScalingRow, ...]:
        """Every network's rays at every layer of the paths, with samples doubled until what is compared has settled."""
        samples = self.options.samples
        most = max(samples, self.options.most_samples)
        return tuple(
            row for layer in self.path_layers for row in settled_rows(partial(self._scaled_at, layer), samples, most)
        )

    def _scaled_at(self, layer: str, samples: int) -> list[ScalingRow]:
        return [
            self.pieces.item(
                f"scaling-{layer}-{samples}-{arm}", ScalingRow, lambda arm=arm: self._scaling(layer, samples, arm)
            )
            for arm in (*self.networks.names, NOISE)
        ]

    def _scaling(self, layer: str, samples: int, arm: str) -> ScalingRow:
        say(f"scaling at {layer}, {samples} samples: {arm}")
        name, seed = (TRAINED if arm == NOISE else arm), self.options.seed
        activations = matched_noise(self.at(layer), seed) if arm == NOISE else self.at(layer, name)
        options = self.counting | {"samples": samples}
        paths = scaling(self.networks[name].tail(layer), layer, activations, self.labels, self.options.pairs, **options)
        names = self.model.class_names if name == TRAINED else ()
        confidence = 1 - 0.05 / len(self.path_layers)  # the layers are judged together
        return scaling_summary(paths, seed, arm, names, confidence)

    def maps(self) -> MapsRow:
        """Does the Hamming distance of codes track the Frobenius distance of the local maps? [PL footnote]"""
        row, arrays = self.pieces.with_arrays("maps", MapsRow, lambda: self._maps(TRAINED))
        self.artefacts.hamming, self.artefacts.frobenius = arrays["hamming"], arrays["frobenius"]
        return row

    def maps_of_controls(self) -> tuple[MapsRow, ...]:
        """The same of every control: a smooth map alone may tie the two distances, and by chance of the seed."""
        names = tuple(dict.fromkeys((*self.networks.names[1:], *self.networks.fresh)))
        return tuple(self.pieces.item(f"maps-{name}", MapsRow, lambda name=name: self._maps(name)[0]) for name in names)

    def _maps(self, name: str) -> tuple[MapsRow, Arrays]:
        say(f"local maps: {name}")
        layer = self.path_layers[:2][-1]  # the second, where there are two
        distances = self._distances(name)[self.layers.index(layer)]
        tail, words = self.networks[name].tail(layer), {"probes": self.options.probes, "seed": self.options.seed}
        return maps_row(tail, layer, self.at(layer, name), distances, **words, network=name)

    def clusters(self) -> ClustersFound:
        """`by_site`: clusters of channel codes from the deepest site up; `codes`: those of the deepest site that has
        any (of the deepest site, with the reason, where none has); `controls`: of the control networks at that site."""
        kept = self.pieces.with_arrays
        found = [kept(f"clusters-{at}", ChannelClusters, lambda at=at: self._clusters(at)) for at in self.panels.sites]
        self.by_site = [one for one, _ in found]
        chosen, arrays = next((one for one in found if one[0].n_clusters), found[0])
        self.artefacts.places = places_of(arrays)
        names = self.networks.names[1:] if chosen.n_clusters else ()
        controls = tuple(self._control_clusters(chosen.site, name) for name in names)
        return ClustersFound(chosen, tuple(one.short() for one in self.by_site), controls)

    def _control_clusters(self, site: str, name: str) -> SiteClusters:
        key = f"clusters-{site}-{name}"
        return self.pieces.item(key, SiteClusters, lambda: self.panels.clusters(site, name)[2].short(name))

    def _clusters(self, site: str) -> tuple[ChannelClusters, Arrays]:
        vectors, _, found = self.panels.clusters(site)
        return found, places_as_arrays(vectors)

    def directions(self) -> tuple[SiteDirections, ...]:
        """Directions against the clusters of codes; their histograms and places go to the figures."""
        rows, arrays = self.panels.directions(self.by_site)
        if rows:
            self.artefacts.cosines = (arrays["edges"], arrays["counts"])
            self.artefacts.unit_places = places_of(arrays)
        return rows

    def slices(self, slicing: VisionModel | None) -> SlicesFound:
        chosen = three_classes(self.labels, self.options.seed)
        if len(chosen) < 3:
            return SlicesFound(reason="a slice through three classes needs three; give more classes")
        placed: dict[str, PlacedSlice] = {}
        for name in ("late",) if slicing is None else ("late", "whole"):
            placed[name], arrays = self.pieces.with_arrays(
                f"slice-{name}", PlacedSlice, lambda name=name: self._slice(name, slicing or self.model, chosen)
            )
            self.artefacts.slices[name] = slice_of(arrays)
        return SlicesFound(tuple(chosen), placed["late"], placed.get("whole"))

    def _slice(self, name: str, small: VisionModel, chosen: list[int]) -> tuple[PlacedSlice, Arrays]:
        say(f"slice: {name}")
        x = small.inputs(self.images[chosen])
        program = self.program if small is self.model else trace(small.module, x[0], small.name)
        layer = choose_layers(program)[-1] if name == "late" else None
        found, corners, facts = slice_after(program, layer, x, regions=self.options.slice_regions)
        return PlacedSlice(layer or "pixels", small.image_size, facts), slice_as_arrays(found, corners)
