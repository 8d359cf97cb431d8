"""The stages of the polytope lens, and what they share: each is computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch

from eval.measures.clustering.clusters import Clusters, cluster_codes, cluster_points
from eval.measures.codes.polytope import SplineCodes
from eval.measures.statistics.rank_correlation import rank_correlation
from eval.runs import Run
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.polytopes import PolytopesOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.polytopes.cards import cluster_cards, summary
from llm_codes.lenses.polytopes.cluster_rows import BothClusterings, ClusterStage, CodeSummary
from llm_codes.lenses.polytopes.contrast import density_by_layer
from llm_codes.lenses.polytopes.dictionaries import DictionaryRows, describe_dictionaries
from llm_codes.lenses.polytopes.directions import describe_directions
from llm_codes.lenses.polytopes.flow import flow_by_layer
from llm_codes.lenses.polytopes.interventions import cluster_interventions
from llm_codes.lenses.polytopes.maps import Block, map_distances, map_errors, map_spectrum
from llm_codes.lenses.polytopes.meaning import ACTIVATIONS, CODES, meaning_of
from llm_codes.lenses.polytopes.neurons import neurons_across_clusters
from llm_codes.lenses.polytopes.panel_rows import FlowStage, InterventionStage, NeuronStage
from llm_codes.lenses.polytopes.rays import Rays, scale_rays
from llm_codes.lenses.polytopes.rows import DensityStage, DictionaryStage, DirectionStage, Maps, MapSpectrum
from llm_codes.lenses.polytopes.samples import TokenSample, collect, hard_codes
from llm_codes.models import Model, untrained_like
from llm_codes.sites import Site, parse_layers, resolve_site

MAP_PAIRS = 600


class Stages:
    """The stages, and what they share, computed when first needed: the sample, the codes, both clusterings."""

    def __init__(
        self, model: Model, corpus: Corpus, options: PolytopesOptions, reading: HarvestOptions, seed: int,
        run: Run | None,
    ) -> None:  # fmt: skip
        self.model, self.corpus, self.options, self.reading = model, corpus, options, reading
        self.seed, self.run = seed, run
        self.span = parse_layers(options.layers, model.n_layers)
        count = min(options.density_layers, model.n_layers)
        steps = np.linspace(0, model.n_layers - 1, count).round().astype(int)
        self.compared = sorted({int(layer) for layer in steps})

    @cached_property
    def blocks(self) -> dict[int, Block]:
        return {layer: Block.of(self.model, layer) for layer in sorted({*self.compared, *self.span})}

    @cached_property
    def sampled(self) -> tuple[TokenSample, DictionaryRows | None]:
        """One pass over the corpus: activations at the sampled tokens, and many tokens for the dictionaries."""
        options, blocks = self.options, self.blocks  # an MLP without a local map is refused before the pass
        del blocks
        more = None
        if options.dictionary_steps:
            size = (self.corpus.context, len(self.corpus), options.dictionary_tokens)
            more = DictionaryRows(self._sites("mlp_pre"), self._sites("mlp_post"), *size)
        how = {name: getattr(self.reading, name) for name in ("batch_size", "exclude_positions", "max_memory_gb")}
        sites = _sites_read(self.model, self.span, self.compared)
        return collect(self.model, self.corpus, sites, beside=[more] if more else [], **how), more

    def _sites(self, kind: str) -> list[Site]:
        return [resolve_site(self.model, kind, layer) for layer in self.span]

    @property
    def sample(self) -> TokenSample:
        return self.sampled[0]

    def values(self, kind: str, layer: int) -> np.ndarray:
        return self.sample.values[resolve_site(self.model, kind, layer).hook]

    @cached_property
    def codes(self) -> SplineCodes:
        return hard_codes(self.model, self.sample, self.span)

    @cached_property
    def hidden(self) -> np.ndarray:
        return np.hstack([self.values("mlp_post", layer) for layer in self.span])

    @property
    def _clustering(self) -> dict[str, Any]:
        options = self.options
        size = options.min_cluster_size or max(5, len(self.sample) // 200)
        return {"min_cluster_size": size, "min_samples": 5, "method": options.cluster_method}

    @cached_property
    def of_codes(self) -> Clusters:
        return cluster_codes(self.codes, **self._clustering)

    def cluster_stage(self) -> ClusterStage:
        """Clusters of codes and of activations; the packed codes and both labels go to `arrays/codes.npz`."""
        codes, of_codes = self.codes, self.of_codes
        of_activations = cluster_points(self.hidden, **self._clustering)
        if self.run is not None:
            labels = {"code_labels": of_codes.labels, "activation_labels": of_activations.labels}
            self.run.write_arrays("codes", words=codes.words, **labels)
        both = BothClusterings(
            codes=summary(of_codes, *cluster_cards(of_codes, self.sample, codes, seed=self.seed)),
            activations=summary(of_activations, *cluster_cards(of_activations, self.sample, None, seed=self.seed)),
        )
        mapping = codes.map.as_json() | {"n_bits": codes.map.n_bits, "fingerprint": codes.map.fingerprint}
        code = CodeSummary(len(codes), codes.n_distinct(), mapping, float(codes.near_zero.mean()))
        kinds = {CODES: of_codes, ACTIVATIONS: of_activations}
        meaning = [
            row
            for name, found in kinds.items()
            for row in meaning_of(name, [found.members(c) for c in range(found.n_clusters)], self.sample, self.seed)
        ]
        return ClusterStage(both, of_codes.labels, code, tuple(meaning))

    def direction_stage(self, *, projections: bool = True) -> DirectionStage:
        """Directions; without `projections` the (slow) clusters of each one's scalar projection are left out."""
        options, first = self.options, self.span[0]
        stream = self.values("resid_mid", first)
        return describe_directions(
            self.sample, self.hidden, stream, self.of_codes, self.blocks[first], options.directions, options.negative,
            self.seed, projections=projections,
        )  # fmt: skip

    def density_stage(self) -> DensityStage:
        return density_by_layer(self.model, self.sample, self.compared, self.blocks, self.seed)

    def dictionary_stage(self) -> DictionaryStage:
        sample, more = self.sampled
        options = self.options
        return describe_dictionaries(
            sample, self.codes, self.hidden, more, self._clustering, options.features, options.dictionary_steps,
            self.seed,
        )  # fmt: skip

    def flow_stage(self, network: str = "trained") -> FlowStage:
        """How regions go over from each compared MLP to the next."""
        codes = {layer: hard_codes(self.model, self.sample, [layer]) for layer in self.compared}
        return FlowStage(flow_by_layer(codes, self._clustering, network=network, seed=self.seed))

    def neuron_stage(self) -> NeuronStage:
        """Neurons whose strongest tokens lie in several clusters of codes."""
        return NeuronStage(neurons_across_clusters(self.hidden, self.span, self.sample, self.of_codes))

    def intervention_stage(self, network: str = "trained") -> InterventionStage:
        """Codes of the largest clusters, set by hand at other tokens."""
        count = self.options.interventions
        words = {"count": count, "seed": self.seed, "network": network}
        if not count:
            return InterventionStage(())
        rows = cluster_interventions(
            self.model, self.corpus, self.sample, self.codes, self.of_codes, self.span, **words
        )
        return InterventionStage(rows)

    def all_rays(self) -> dict[str, Rays]:
        """Rays of the model, of matched noise and of the untrained network, each kept as arrays of its own."""
        if self.options.rays == 0:
            return {}
        model = self.model
        found = {"trained": self._rays("trained", lambda: model)}
        found["matched noise"] = self._rays("matched noise", lambda: model, noise=True)
        if not model.untrained:
            found["untrained"] = self._rays("untrained", lambda: untrained_like(model, self.seed))
        return found

    def _rays(self, name: str, network: Callable[[], Model], *, noise: bool = False) -> Rays:
        slug = f"rays-{name.replace(' ', '-')}"
        kept = None if self.run is None else self.run.read_arrays(slug)
        if kept is not None:
            return Rays(**kept)
        first, count = self.span[0], self.options.rays
        rays = scale_rays(network(), self.corpus, self.sample, first, count, noise=noise, seed=self.seed)
        if self.run is not None:
            self.run.write_arrays(slug, density=rays.density, changed=rays.changed, document=rays.document)
        return rays

    def maps(self) -> Maps:
        """Errors of the frozen maps, singular values by cluster, and whether Hamming distance tracks map distance."""
        layer = self.span[0]
        block, sample = self.blocks[layer], self.sample
        inputs = torch.from_numpy(self.values("resid_mid", layer))
        gates = block.gates(torch.from_numpy(self.values("mlp_pre", layer)).double())
        generator = np.random.default_rng(self.seed)
        chosen = generator.permutation(len(sample))[:4]
        errors = [map_errors(block, inputs[int(i)]) for i in chosen]
        mine = self.codes.select_layers([resolve_site(self.model, "mlp_pre", layer).hook])
        order = generator.permutation(len(sample))[: 2 * min(MAP_PAIRS, len(sample) // 2)]
        first, second = order[::2], order[1::2]
        hamming = mine[first].hamming(mine[second])
        frobenius = map_distances(block, gates[first], gates[second]).numpy()
        spectra = [
            (cluster, *map_spectrum(block, gates[self.of_codes.members(cluster)]))
            for cluster in range(min(6, self.of_codes.n_clusters))
        ]
        names = ("residual", "gate_to_jacobian", "tangent_to_jacobian")
        return Maps(
            layer=layer,
            frozen={name: float(np.mean([getattr(error, name) for error in errors])) for name in names},
            by_cluster=tuple(MapSpectrum(cluster, tuple(values), ratio) for cluster, values, ratio in spectra),
            hamming_frobenius=rank_correlation(hamming, frobenius, sample.document[first], self.seed),
        )


def _sites_read(model: Model, span: list[int], compared: list[int]) -> list[Site]:
    """Sites of the one pass: pre-activations and MLP inputs at every layer coded or compared, hidden activations of the
    coded ones, and the input of the first."""
    layers = sorted({*compared, *span})
    return [
        *(resolve_site(model, "mlp_pre", layer) for layer in layers),
        *(resolve_site(model, "mlp_post", layer) for layer in span),
        *(resolve_site(model, "resid_mid", layer) for layer in layers),
        resolve_site(model, "resid_pre", span[0]),
    ]
