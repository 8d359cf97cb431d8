"""`python -m vision_codes polytopes`: the polytope lens on a convolutional network and a set of images.

    model = load_model("efficientnet-lite0")
    found, artefacts = polytopes(model, images.images, images.labels)

Density within and between classes by layer (and in four controls), paths between images and through scaled
activations, noise, distances of local affine maps, clusters of channel vectors, exact slices; and a verdict on each of
the statements of Black et al. (2022) that images can test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.affine_maps import local_map
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.geometry.slices import Slice
from eval.measures.geometry.tracing import trace
from eval.measures.statistics.rank_correlation import image_rank_correlation
from eval.progress import say
from eval.scores import Score
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.lenses.polytopes.controls import CONTROLS, control, why_dead
from vision_codes.lenses.polytopes.density import (
    choose_layers,
    layer_activations,
    layer_densities,
    matched_noise,
    noise_density,
)
from vision_codes.lenses.polytopes.patches import ChannelVectors, channel_vectors, cluster_vectors, patch_sites
from vision_codes.lenses.polytopes.paths import Paths, interpolation, interpolation_summary
from vision_codes.lenses.polytopes.rays import NOISE, scaling, scaling_summary, settled_rows
from vision_codes.lenses.polytopes.results import (
    ChannelClusters,
    ClustersFound,
    DensityRow,
    ImagePolytopes,
    InterpolationRow,
    MapsRow,
    NetworkFacts,
    NoiseRow,
    PlacedSlice,
    ScalingRow,
    SlicesFound,
)
from vision_codes.lenses.polytopes.slices import image_slice
from vision_codes.models import VisionModel


@dataclass
class Artefacts:
    """What figures and claims need beside the numbers; `trend`: of the density ratio over layers."""

    vectors: ChannelVectors | None = None
    interpolations: list[dict[str, Paths]] = field(default_factory=list)
    slices: dict[str, tuple[Slice, np.ndarray]] = field(default_factory=dict)
    hamming: np.ndarray = field(default_factory=lambda: np.empty(0))
    frobenius: np.ndarray = field(default_factory=lambda: np.empty(0))
    trend: Score = field(default_factory=lambda: Score.undefined("not measured"))


def polytopes(
    model: VisionModel,
    images: np.ndarray,
    labels: np.ndarray,
    config: PolytopesConfig | None = None,
    slicing: VisionModel | None = None,
) -> tuple[ImagePolytopes, Artefacts]:
    """The whole analysis of one network.

    Args:
        model: from `load_model`.
        images: uint8 ``[image 3 height width]``; labels: ``[image]``, two classes or more.
        config: options (defaults where None).
        slicing: the same network built for small images, for the slice through all of it; `None` skips that slice.

    Returns:
        what was measured (`claims.documented` judges it), and what figures and claims need.
    """
    options = config or PolytopesConfig(out="")
    if len(images) < 4 or len(np.unique(labels)) < 2:
        raise UserError(f"expected at least 4 images of 2 classes; got {len(images)} of {len(np.unique(labels))}")
    x = model.inputs(images)
    program = trace(model.module, x[0], model.name)
    layers = choose_layers(program, options.layers)
    study = _Study(model, program, x, images, np.asarray(labels), layers, options)
    found = ImagePolytopes(
        network=study.describe(),
        density=study.density(),
        noise=study.noise(),
        interpolation=study.interpolation(),
        scaling=study.scaling(),
        affine_maps=study.maps(),
        clusters=study.clusters(),
        slices=study.slices(slicing),
    )
    return found, study.artefacts


@dataclass
class _Study:
    model: VisionModel
    program: Program
    x: Tensor
    images: np.ndarray
    labels: np.ndarray
    layers: tuple[str, ...]
    options: PolytopesConfig
    artefacts: Artefacts = field(default_factory=Artefacts)

    def __post_init__(self) -> None:
        self.path_layers = tuple(dict.fromkeys((self.layers[len(self.layers) // 2], self.layers[-2], self.layers[-1])))
        self.networks: dict[str, Program] = {"trained": self.program}
        self.dead: dict[str, str] = {}
        if self.options.controls:
            for kind in CONTROLS:
                module = control(self.model.module, kind, self.x, self.options.seed, self.model.build)
                program = trace(module, self.x[0], f"{self.model.name}, {kind}")
                if (dead := why_dead(program, self.x, self.options.batch_size)) is None:
                    self.networks[kind] = program
                else:
                    self.dead[kind] = dead
                    say(f"control {kind!r} is {dead}")
        self.activations: dict[str, dict[str, Tensor]] = {}

    def describe(self) -> NetworkFacts:
        return NetworkFacts(
            layers=self.layers,
            path_layers=self.path_layers,
            n_images=len(self.images),
            image_size=self.model.image_size,
            n_sites=len(self.program.sites),
            n_units=self.program.n_units,
            dead_controls=self.dead,
            piecewise_linear=not any(step.kind == "smooth" for step in self.program.sites),
        )

    def density(self) -> tuple[DensityRow, ...]:
        rows: list[DensityRow] = []
        for name, program in self.networks.items():
            say(f"density: {name}")
            found = layer_densities(
                program, self.x, self.labels, self.layers, batch_size=self.options.batch_size, seed=self.options.seed
            )
            rows += found.rows(name)
            if name == "trained":
                self.artefacts.trend = found.trend
                self.near_zero = found.near_zero
                self.last = found
        return tuple(rows)

    def at(self, layer: str, network: str = "trained") -> Tensor:
        known = self.activations.setdefault(network, {})
        if layer not in known:
            known |= layer_activations(self.networks[network], self.x, self.path_layers, self.options.batch_size)
        return known[layer]

    @property
    def counting(self) -> dict[str, int]:
        return {"exact_up_to": self.options.exact_up_to, "samples": self.options.samples}

    def noise(self) -> tuple[NoiseRow, ...]:
        size, seed = self.options.batch_size, self.options.seed
        return tuple(
            noise_density(self.program, layer, self.at(layer), batch_size=size, seed=seed) for layer in self.path_layers
        )

    def interpolation(self) -> tuple[InterpolationRow, ...]:
        rows: list[InterpolationRow] = []
        for layer in self.path_layers:
            say(f"interpolation at {layer}")
            tail = self.program.tail(layer)
            paths = interpolation(
                tail, layer, self.at(layer), self.labels, self.options.pairs, self.options.seed, **self.counting
            )
            self.artefacts.interpolations.append(paths)
            rows += [interpolation_summary(path) for path in paths.values()]
        return tuple(rows)

    def scaling(self) -> tuple[ScalingRow, ...]:
        """Every network's rays at every layer of the paths, with samples doubled until what is compared has settled."""
        return tuple(
            row
            for layer in self.path_layers
            for row in settled_rows(
                partial(self._scaled_at, layer),
                self.options.samples,
                max(self.options.samples, self.options.most_samples),
            )
        )

    def _scaled_at(self, layer: str, samples: int) -> list[ScalingRow]:
        arms = {name: (program, self.at(layer, name)) for name, program in self.networks.items()}
        arms[NOISE] = (self.program, matched_noise(self.at(layer), self.options.seed))
        confidence = 1 - 0.05 / len(self.path_layers)  # the layers are judged together
        rows = []
        for name, (program, activations) in arms.items():
            say(f"scaling at {layer}, {samples} samples: {name}")
            options = self.counting | {"samples": samples}
            paths = scaling(program.tail(layer), layer, activations, self.labels, self.options.pairs, **options)
            names = self.model.class_names if program is self.program else ()
            rows.append(scaling_summary(paths, self.options.seed, name, names, confidence))
        return rows

    def maps(self) -> MapsRow:
        """Does the Hamming distance of codes track the Frobenius distance of the local maps? [PL footnote]"""
        layer = self.path_layers[1] if len(self.path_layers) > 1 else self.path_layers[0]  # pyright: ignore
        tail = self.program.tail(layer)
        count = min(len(self.x), 40)
        chosen = np.sort(np.random.default_rng(self.options.seed).permutation(len(self.x))[:count])
        points = self.at(layer)[torch.as_tensor(chosen)]
        generator = torch.Generator().manual_seed(self.options.seed)
        probes = torch.randn((self.options.probes, *tail.output_shape), generator=generator)
        rows = torch.stack([local_map(tail, point).vjp(probes).flatten() for point in points])
        frobenius = torch.cdist(rows, rows).numpy() / self.options.probes**0.5
        hamming = self.last.distances[self.layers.index(layer)][np.ix_(chosen, chosen)]
        upper = np.triu_indices(count, 1)
        self.artefacts.hamming, self.artefacts.frobenius = hamming[upper], frobenius[upper]
        score = image_rank_correlation(hamming, frobenius, self.options.seed)
        return MapsRow(layer, count, self.options.probes, score)

    def clusters(self) -> ClustersFound:
        """`by_site`: clusters of channel codes from the deepest site up; `codes`: those of the deepest site that has
        any (of the deepest site, with the reason, where none has)."""
        say("clusters of channel vectors")
        options = self.options
        found: list[tuple[ChannelVectors, ChannelClusters]] = []
        for site in options.patch_sites or patch_sites(self.program):
            vectors = channel_vectors(
                self.program, self.x, count=options.patches, site=site, batch_size=options.batch_size, seed=options.seed
            )
            size = options.min_cluster_size
            found.append((vectors, cluster_vectors(vectors, self.labels, min_cluster_size=size, seed=options.seed)[1]))
        self.artefacts.vectors, chosen = next((one for one in found if one[1].n_clusters), found[0])
        return ClustersFound(chosen, tuple(one.short() for _, one in found))

    def slices(self, slicing: VisionModel | None) -> SlicesFound:
        classes = np.unique(self.labels)
        generator = np.random.default_rng(self.options.seed)
        chosen = [int(np.flatnonzero(self.labels == c)[0]) for c in generator.permutation(classes)[:3]]
        if len(chosen) < 3:
            return SlicesFound(reason="a slice through three classes needs three; give more classes")
        placed: dict[str, PlacedSlice] = {}
        small = slicing or self.model
        program = trace(small.module, small.inputs(self.images[:1])[0], small.name) if slicing else self.program
        x = small.inputs(self.images[chosen])
        last = choose_layers(program)[-1]
        with torch.no_grad():
            late = program.values_at(x, [last])[last]
        jobs: dict[str, tuple[Program, Tensor]] = {"late": (program.tail(last), late)}
        if slicing is not None:
            jobs["whole"] = (program, x)
        for name, (part, points) in jobs.items():
            say(f"slice: {name}")
            found, corners, facts = image_slice(part, points, regions=self.options.slice_regions)
            self.artefacts.slices[name] = (found, corners)
            placed[name] = PlacedSlice(last if name == "late" else "pixels", small.image_size, facts)
        return SlicesFound(tuple(chosen), placed["late"], placed.get("whole"))
