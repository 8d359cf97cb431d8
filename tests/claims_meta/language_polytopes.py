"""Networks, texts and activations of which the polytope statements are untrue, or true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eval.claims import Claim
from eval.measures.dictionaries.directions import overlap_above_chance
from eval.measures.statistics.rank_correlation import rank_correlation
from eval.measures.statistics.resampling import bootstrap_mean
from eval.scores import Score
from eval.verdicts import corrected
from llm_codes.configs.polytopes import PolytopesOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.polytopes.claims import judge, of_clusters, of_density, of_maps, of_rays
from llm_codes.lenses.polytopes.control import Measured
from llm_codes.lenses.polytopes.meaning import ACTIVATIONS, CODES, meaning_of, meaning_of_directions
from llm_codes.lenses.polytopes.rays import SCALES, Rays
from llm_codes.lenses.polytopes.rows import Contrast
from llm_codes.lenses.polytopes.samples import TokenSample
from llm_codes.lenses.polytopes.study import polytopes
from llm_codes.models import load_model
from tests.claims_meta.rows import Material, Row

OPTIONS = PolytopesOptions(layers="0:", rays=12, features=6, directions=16, dictionary_steps=0)
ITEMS, GROUPS, RAYS, LAYERS = 6000, 20, 40, 3
Planted = tuple[Measured, dict[str, Rays]]


def untrained(material: Material) -> list[Claim]:
    """Fresh weights, beside the fresh weights of their control."""
    model = load_model(str(material.model))
    corpus = load_corpus(str(material.texts), model.tokenizer, context=32, n_tokens=2500, split="all")
    return judge(polytopes(model, corpus, OPTIONS), 0)


def shuffled(material: Material) -> list[Claim]:
    """The tokens of the text in another order, for the network and its control."""
    model = load_model(str(material.model))
    corpus = load_corpus(str(material.texts), model.tokenizer, context=32, n_tokens=2500, split="all")
    tokens = np.array(corpus.tokens)
    inner = tokens[:, 1:]
    tokens[:, 1:] = np.random.default_rng(0).permutation(inner.flatten()).reshape(inner.shape)
    return judge(polytopes(model, replace(corpus, tokens=tokens), OPTIONS), 0)


def meaningful(strength: float, seed: int) -> Measured:
    """Activations of which hidden groups are the work of a token and of the next one; strength 0: of nothing.

    Groups are seen by the measures of the study: entropies, overlap, contrasts over classes, correlations, densities.
    """
    generator = np.random.default_rng(seed)
    group = generator.integers(0, GROUPS, ITEMS)
    own = generator.random(ITEMS) < strength
    token, after = (
        np.where(own, 10 * group + generator.integers(0, 3, ITEMS), generator.integers(0, 10 * GROUPS, ITEMS))
        for _ in range(2)
    )
    none = np.zeros(ITEMS, int)
    sample = TokenSample(token, after, none, none, none, {}, [""] * ITEMS, [""] * ITEMS)
    sets = [np.flatnonzero(group == number) for number in range(GROUPS)]
    nmf = (group[:, None] == np.arange(16)) + 0.1 * generator.random((ITEMS, 16))
    meaning = [row for name in (CODES, ACTIVATIONS) for row in meaning_of(name, sets, sample, seed)]
    meaning += meaning_of_directions(nmf, generator.standard_normal((ITEMS, 30)), sample, 16, seed)
    clustered = np.where(generator.random(ITEMS) < 0.3, group, -1)
    mixed = strength > 0
    top = [np.flatnonzero(clustered == n)[:6] for n in range(GROUPS)]
    top = [
        np.concatenate([a, b]) if mixed else generator.permutation(ITEMS)[:12]
        for a, b in zip(top, top[1:], strict=False)
    ]
    overlap, note = overlap_above_chance(top, clustered, seed=seed)
    none_known = Score.undefined("not judged")
    return Measured(
        none_known, none_known, none_known, overlap, f"{note:.2g}",
        {name: contrast(strength, seed + place) for place, name in enumerate(("token", "next token"))},
        correlated(strength, seed),
        boundary_gap=bootstrap_mean(generator.standard_normal(40) - 3 * strength, minimum_groups=10, seed=seed),
        meaning=tuple(meaning),
    )  # fmt: skip


def contrast(strength: float, seed: int) -> Contrast:
    """Per class: density between less density within, growing with depth."""
    generator = np.random.default_rng(seed)
    table = generator.standard_normal((LAYERS, 60)) * 0.1 + strength * (0.2 + 0.1 * np.arange(LAYERS)[:, None])
    centred = np.arange(LAYERS) - (LAYERS - 1) / 2
    trend = centred @ table / (centred**2).sum()
    return Contrast(bootstrap_mean(table.mean(0), seed=seed), bootstrap_mean(trend, seed=seed))


def correlated(strength: float, seed: int) -> Score:
    generator = np.random.default_rng(seed)
    distance = generator.random(300)
    other = strength * distance + (1.2 - strength) * 0.4 * generator.random(300)
    return rank_correlation(distance, other, np.arange(300) // 10, seed)


def rays_of(strength: float, seed: int) -> Rays:
    """Density that peaks before the activation and is sparse beyond, where the predicted token still changes."""
    generator = np.random.default_rng(seed)
    middle = (SCALES[:-1] + SCALES[1:]) / 2
    density = generator.random((RAYS, len(middle))) + 3 * strength * np.exp(-(((middle - 0.5) / 0.2) ** 2))
    changed = np.zeros((RAYS, len(middle)), dtype=bool)
    changed[generator.random(RAYS) < 0.1 + 0.8 * strength, 20] = True
    return Rays(density, changed, np.arange(RAYS))


def judged(own: float, control: float) -> list[Claim]:
    one, other = meaningful(own, 0), meaningful(control, 1)
    rays = {"trained": rays_of(own, 2), "matched noise": rays_of(control, 3), "untrained": rays_of(control, 4)}
    found = [
        *of_clusters(one, other),
        *of_density(one.contrast, other.contrast),
        *of_rays(rays, one.boundary_gap, other.boundary_gap, 0),
        of_maps(one.hamming_frobenius, other.hamming_frobenius),
    ]
    return corrected([replace(claim, family="polytopes of a language model") for claim in found])


def planted(material: Material) -> list[Claim]:
    return judged(0.8, 0.0)


ROW = Row({"untrained": untrained, "shuffled": shuffled, "planted": planted})
