"""`polytopes`: spline codes of a language model's MLPs, their clusters, directions, density, maps and dictionary.

study = polytopes(load_model("embedded"), corpus, layers="4:6")
study.results["clusters"]["codes"]["cards"][0]["exemplars"]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from eval.measures.clustering.clusters import Clusters, cluster_codes, cluster_points
from eval.measures.clustering.monosemanticity import monosemanticity
from eval.measures.codes.polytope import SplineCodes
from eval.measures.dictionaries.directions import (
    clusters_crossed,
    cosine_histograms,
    nmf_directions,
    pca_directions,
    top_items,
)
from eval.measures.geometry.layer_norm_segment import layer_norm_crossings
from eval.measures.statistics.rank_correlation import rank_correlation
from eval.scores import Score
from llm_codes.corpus import Corpus
from llm_codes.lenses.polytopes.cards import cluster_cards, summary
from llm_codes.lenses.polytopes.contrast import density_by_layer
from llm_codes.lenses.polytopes.dictionaries import DictionaryRows, describe_dictionaries
from llm_codes.lenses.polytopes.maps import Block, map_distances, map_errors, map_spectrum
from llm_codes.lenses.polytopes.rays import SCALES, Rays, scale_rays
from llm_codes.lenses.polytopes.samples import TokenSample, collect, hard_codes
from llm_codes.models import Model, load_model, untrained_like
from llm_codes.sites import Site, parse_layers, resolve_site

TOP_ITEMS = 20
MAP_PAIRS = 600


@dataclass
class Study:
    """What `polytopes` found: the sample, the codes, both clusterings, histograms and rays for the figures, what the
    claims are judged on (top tokens of NMF directions, contrast of densities, the footnote's correlation), and
    `results` as written to `results.json` (to which `claims.documented` adds the verdicts)."""

    sample: TokenSample
    codes: SplineCodes
    of_codes: Clusters
    of_activations: Clusters
    histograms: tuple[np.ndarray, np.ndarray]
    rays: dict[str, Rays]
    top: list[np.ndarray]
    contrast: dict[str, dict[str, Score]]
    footnote: Score
    results: dict[str, Any] = field(default_factory=dict)


def polytopes(
    model: Any,
    corpus: Corpus,
    *,
    layers: str = "4:6",
    min_cluster_size: int = 0,
    cluster_method: str = "leaf",
    exact_up_to: int = 100_000,
    n_directions: int = 64,
    negative: str = "clip",
    n_features: int = 128,
    dictionary_steps: int = 0,
    dictionary_tokens: int = 30_000,
    density_layers: int = 8,
    n_rays: int = 16,
    seed: int = 0,
    **harvest_options: Any,
) -> Study:
    """The polytope lens on a language model, from one pass over the corpus.

    Args:
        model: a `Model`, a name, or an existing bridge.
        layers: MLPs in the code, `4:` is layer 4 to the output.
        min_cluster_size: 0: 1 in 200 sampled tokens, at least 5.
        cluster_method: `leaf` or `eom`; excess of mass tends to one giant cluster of codes here.
        exact_up_to, n_directions, negative, n_features, density_layers, n_rays: see `PolytopesConfig`.
        dictionary_steps, dictionary_tokens: training of the TopK dictionaries (0 steps: none are trained).
        harvest_options: `batch_size`, `exclude_positions`, `max_memory_gb`.

    Raises:
        UserError: layers outside the model, an MLP whose activation has no code, windows under 8 tokens.
    """
    model = load_model(model)
    span = parse_layers(layers, model.n_layers)
    # Phase 1: one pass; activations at the sampled tokens.
    steps = np.linspace(0, model.n_layers - 1, min(density_layers, model.n_layers)).round().astype(int)
    compared = sorted({int(layer) for layer in steps})
    blocks = {layer: Block.of(model, layer) for layer in sorted({*compared, *span})}
    sites = _sites_read(model, span, compared)
    pre, post = ([resolve_site(model, kind, layer) for layer in span] for kind in ("mlp_pre", "mlp_post"))
    more = DictionaryRows(pre, post, corpus.context, len(corpus), dictionary_tokens) if dictionary_steps else None
    sample = collect(model, corpus, sites, beside=[more] if more else [], **harvest_options)
    codes = hard_codes(model, sample, span)
    hidden = np.hstack([sample.values[resolve_site(model, "mlp_post", layer).hook] for layer in span])
    # Phase 2: clusters of codes and of activations.
    size = min_cluster_size or max(5, len(sample) // 200)
    options: dict[str, Any] = {"min_cluster_size": size, "min_samples": 5, "method": cluster_method}
    options |= {"exact_up_to": exact_up_to, "seed": seed}
    of_codes, of_activations = cluster_codes(codes, **options), cluster_points(hidden, **options)
    code_cards = cluster_cards(of_codes, sample, codes, seed=seed)
    activation_cards = cluster_cards(of_activations, sample, None, seed=seed)
    clusters = {"codes": summary(of_codes, *code_cards), "activations": summary(of_activations, *activation_cards)}
    # Phase 3: directions, density, rays, maps, dictionary.
    directions, histograms, top = describe_directions(
        model, sample, hidden, of_codes, blocks[span[0]], span[0], n_directions, negative, seed
    )
    density, contrast = density_by_layer(model, sample, compared, blocks, seed)
    rays = _rays(model, corpus, sample, span[0], n_rays, seed)
    maps, footnote = describe_maps(model, sample, codes, of_codes, blocks[span[0]], span[0], seed)
    dictionaries = describe_dictionaries(sample, codes, hidden, more, options, n_features, dictionary_steps, seed)
    found = Study(sample, codes, of_codes, of_activations, histograms, rays, top, contrast, footnote)
    found.results = {
        "clusters": clusters,
        "density": density,
        "directions": directions,
        "rays": {name: _ray_rows(one) for name, one in rays.items()},
        "maps": maps,
        "dictionary": dictionaries,
        "code": {
            "n_items": len(codes),
            "n_distinct": codes.n_distinct(),
            "map": _short_map(codes),
            "near_zero": float(codes.near_zero.mean()),
        },
    }
    return found


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


def _short_map(codes: SplineCodes) -> dict[str, Any]:
    return codes.map.as_json() | {"n_bits": codes.map.n_bits, "fingerprint": codes.map.fingerprint}


def describe_directions(
    model: Model, sample: TokenSample, hidden: np.ndarray, found: Clusters, block: Block, layer: int,
    count: int, negative: str, seed: int,
) -> tuple[dict[str, Any], tuple[np.ndarray, np.ndarray], list[np.ndarray]]:  # fmt: skip
    """NMF and PCA directions of the hidden activations: clusters crossed, meaning of the top tokens, clusters of each
    NMF direction's scalar projection; and how many boundaries PCA directions of the residual stream cross within the
    data's range (exact for the first block). Returns these, the cosine histograms and top tokens of NMF directions."""
    out: dict[str, Any] = {}
    histograms = (np.zeros(0), np.zeros((0, 0, 0), dtype=np.int64))
    strongest: list[np.ndarray] = []
    for directions in (nmf_directions(hidden, count, negative=negative, seed=seed), pca_directions(hidden, count)):
        top = top_items(directions.scores, TOP_ITEMS)
        rows = clusters_crossed(top, found.labels)
        for name, labels in (("token", sample.token), ("next_token", sample.next_token)):
            test = monosemanticity(top, labels, seed=seed)
            for row, pure, q, reduction in zip(rows, test.monosemantic(), test.q, test.reduction, strict=True):
                row[f"{name}_monosemantic"] = bool(pure)
                row[f"{name}_q"] = float(q) if np.isfinite(q) else None
                row[f"{name}_reduction"] = float(reduction) if np.isfinite(reduction) else None
        for row, items in zip(rows, top, strict=True):
            row["top_tokens"] = [sample.string[i] for i in items[:5]]
        name = directions.method.split()[0]
        out[name] = {"method": directions.method, "unexplained": directions.unexplained, "rows": rows}
        if name == "nmf":
            histograms, strongest = cosine_histograms(hidden, directions.vectors, found.labels), top
            for row, projection in zip(rows, (hidden @ directions.vectors.T).T, strict=True):
                row |= _projection_clusters(projection, sample, found.min_cluster_size, seed)
    out["boundaries"] = _boundaries(sample.values[resolve_site(model, "resid_mid", layer).hook], block, seed)
    return out, histograms, strongest


def _projection_clusters(projection: np.ndarray, sample: TokenSample, size: int, seed: int) -> dict[str, Any]:
    """Clusters of one direction's scalar projection, and how many hold one meaning (as for the clusters of codes)."""
    found = cluster_points(projection[:, None], min_cluster_size=size, min_samples=5, method="leaf", seed=seed)
    members = [found.members(cluster) for cluster in range(found.n_clusters)]
    pure = np.zeros(len(members), dtype=bool)
    for labels in (sample.token, sample.next_token):
        pure |= monosemanticity(members, labels, n_draws=200, seed=seed).monosemantic()
    return {"projection_clusters": len(members), "projection_monosemantic": int(pure.sum())}


def _boundaries(stream: np.ndarray, block: Block, seed: int, count: int = 16) -> list[dict[str, Any]]:
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
            rows.append({"kind": kind, "direction": number, "count": crossed.count, "length": crossed.length,
                         "density": crossed.density, "label": crossed.kind})  # fmt: skip
    return rows


def _rays(model: Model, corpus: Corpus, sample: TokenSample, layer: int, n_rays: int, seed: int) -> dict[str, Rays]:
    if n_rays == 0:
        return {}
    rays = {"trained": scale_rays(model, corpus, sample, layer, n_rays, seed=seed)}
    rays["matched noise"] = scale_rays(model, corpus, sample, layer, n_rays, noise=True, seed=seed)
    if not model.untrained and hasattr(model.bridge, "original_model"):
        rays["untrained"] = scale_rays(untrained_like(model, seed), corpus, sample, layer, n_rays, seed=seed)
    return rays


def _ray_rows(rays: Rays) -> list[dict[str, Any]]:
    middle = (SCALES[1:] + SCALES[:-1]) / 2
    mean = np.nanmean(rays.density, axis=0)
    return [
        {
            "scale": float(s),
            "density": float(d) if np.isfinite(d) else None,
            "token_changes": float(c),
            "count": "sampled lower bound",
        }
        for s, d, c in zip(middle, mean, rays.changed.mean(0), strict=True)
    ]


def describe_maps(
    model: Model, sample: TokenSample, codes: SplineCodes, found: Clusters, block: Block, layer: int, seed: int
) -> tuple[dict[str, Any], Score]:
    """Errors of the frozen maps, singular values by cluster, and whether Hamming distance tracks map distance."""
    inputs = torch.from_numpy(sample.values[resolve_site(model, "resid_mid", layer).hook])
    pre = torch.from_numpy(sample.values[resolve_site(model, "mlp_pre", layer).hook]).double()
    gates = block.gates(pre)
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(sample))[:4]
    errors = [map_errors(block, inputs[int(i)]) for i in chosen]
    mine = codes.select_layers([resolve_site(model, "mlp_pre", layer).hook])
    order = generator.permutation(len(sample))[: 2 * min(MAP_PAIRS, len(sample) // 2)]
    first, second = order[::2], order[1::2]
    hamming = mine[first].hamming(mine[second])
    frobenius = map_distances(block, gates[first], gates[second]).numpy()
    score = rank_correlation(hamming, frobenius, sample.document[first], seed)
    by_cluster = [
        {"cluster": cluster, **map_spectrum(block, gates[found.members(cluster)])}
        for cluster in range(min(6, found.n_clusters))
    ]
    names = ("residual", "gate_to_jacobian", "tangent_to_jacobian")
    frozen = {name: float(np.mean([getattr(error, name) for error in errors])) for name in names}
    return {"layer": layer, "frozen": frozen, "by_cluster": by_cluster, **score.fields("hamming_frobenius")}, score
