"""Language models and activations of which the statements on spectra and trajectories are untrue, or true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from eval.claims import Claim
from llm_codes.corpus import Corpus, load_corpus
from llm_codes.lenses.spectra import claims as spectra_claims
from llm_codes.lenses.spectra.moments import SiteMomentsConsumer
from llm_codes.lenses.spectra.rows import Spectra
from llm_codes.lenses.spectra.study import describe, spectra
from llm_codes.lenses.trajectories import claims as trajectories_claims
from llm_codes.lenses.trajectories.moments import TrajectoryMoments
from llm_codes.lenses.trajectories.rows import Trajectories
from llm_codes.lenses.trajectories.study import describe_site, trajectories
from llm_codes.models import Model, load_model, untrained_like
from llm_codes.sites import Site
from llm_codes.windows import Batch
from tests.claims_meta.rows import Material, Row

DOCUMENTS, POSITIONS, WIDTH = 40, 32, 24
SITES = [Site(f"blocks.{layer}.hook_out", "resid_post", layer, WIDTH, "stream") for layer in range(3)]
Values = dict[str, torch.Tensor]
"""Activations by hook, ``[document position width]``."""


def untrained_pair(material: Material) -> tuple[Model, Model, Corpus]:
    """Two networks that differ in the seed of their weights only, and a text."""
    model = load_model(str(material.model))
    corpus = load_corpus(str(material.texts), model.tokenizer, context=32, n_tokens=4000, split="all")
    return untrained_like(model, 1), untrained_like(model, 2), corpus


def power_law(exponents: Sequence[float], seed: int) -> Values:
    """Independent tokens whose covariance has eigenvalues i^exponent, in a turned basis."""
    generator = np.random.default_rng(seed)
    values = {}
    for site, exponent in zip(SITES, exponents, strict=True):
        turn = np.linalg.qr(generator.standard_normal((WIDTH, WIDTH)))[0]
        scale = np.arange(1, WIDTH + 1) ** (exponent / 2)
        drawn = generator.standard_normal((DOCUMENTS, POSITIONS, WIDTH)) * scale @ turn
        values[site.hook] = torch.as_tensor(drawn)
    return values


def paths(memory: Sequence[float], seed: int) -> Values:
    """First-order autoregressive paths of the given memory by layer: their action per variance is 1 - memory."""
    generator = np.random.default_rng(seed)
    values = {}
    for site, keep in zip(SITES, memory, strict=True):
        path = generator.standard_normal((DOCUMENTS, POSITIONS, WIDTH))
        for position in range(1, POSITIONS):
            path[:, position] = keep * path[:, position - 1] + np.sqrt(1 - keep**2) * path[:, position]
        values[site.hook] = torch.as_tensor(path)
    return values


def dealt(own: Values, control: Values, seed: int) -> tuple[Values, Values]:
    """Every token's codes dealt at random to the network or to its control: what is said of one is said of both."""
    chosen = torch.rand(DOCUMENTS, POSITIONS, 1, generator=torch.Generator().manual_seed(seed)) < 0.5
    return (
        {hook: torch.where(chosen, own[hook], control[hook]) for hook in own},
        {hook: torch.where(chosen, control[hook], own[hook]) for hook in own},
    )


def tokens_shuffled(values: Values, seed: int) -> Values:
    """Tokens in another order over all documents: every code is kept, the path through them is gone."""
    order = torch.randperm(DOCUMENTS * POSITIONS, generator=torch.Generator().manual_seed(seed))
    return {hook: value.reshape(-1, WIDTH)[order].reshape(value.shape) for hook, value in values.items()}


def batch() -> tuple[Batch, torch.Tensor]:
    kept = torch.ones(DOCUMENTS, POSITIONS, dtype=torch.bool)
    documents = torch.arange(DOCUMENTS)
    return Batch(torch.zeros(DOCUMENTS, POSITIONS, dtype=torch.long), kept, documents, documents), kept


def spectra_of(values: Values) -> Spectra:
    """Through the study: moments by document, fits, corrections, intervals."""
    consumer = SiteMomentsConsumer(SITES)
    consumer.update(values, *batch())
    return describe(SITES, consumer, (2, 16), 0)


def trajectories_of(values: Values) -> Trajectories:
    consumer = TrajectoryMoments(SITES)
    consumer.update(values, *batch())
    return Trajectories(tuple(describe_site(site, consumer.moments[site.hook], 2, 0)[0] for site in SITES), {})


def spectra_untrained(material: Material) -> list[Claim]:
    own, other, corpus = untrained_pair(material)
    return spectra_claims.claims(
        spectra(own, corpus, sites="resid_post", fit_last=40), spectra(other, corpus, sites="resid_post", fit_last=40)
    )


SHALLOW, STEEP = (-0.6, -0.5, -0.7), (-2.0, -2.0, -2.0)


def spectra_shuffled(material: Material) -> list[Claim]:
    own, other = dealt(power_law(SHALLOW, 0), power_law(STEEP, 1), 2)
    return spectra_claims.claims(spectra_of(own), spectra_of(other))


def spectra_planted(material: Material) -> list[Claim]:
    return spectra_claims.claims(spectra_of(power_law(SHALLOW, 0)), spectra_of(power_law(STEEP, 1)))


def trajectories_untrained(material: Material) -> list[Claim]:
    own, other, corpus = untrained_pair(material)
    found, control = (trajectories(model, corpus, projections=5) for model in (own, other))
    return trajectories_claims.claims(found, control)


SMOOTH, WHITE = (0.6, 0.4, 0.5), (0.0, 0.0, 0.0)


def trajectories_shuffled(material: Material) -> list[Claim]:
    own, other = tokens_shuffled(paths(SMOOTH, 0), 2), tokens_shuffled(paths(WHITE, 1), 3)
    return trajectories_claims.claims(trajectories_of(own), trajectories_of(other))


def trajectories_planted(material: Material) -> list[Claim]:
    return trajectories_claims.claims(trajectories_of(paths(SMOOTH, 0)), trajectories_of(paths(WHITE, 1)))


SPECTRA = Row(
    {"untrained": spectra_untrained, "shuffled": spectra_shuffled, "planted": spectra_planted},
)
TRAJECTORIES = Row(
    {"untrained": trajectories_untrained, "shuffled": trajectories_shuffled, "planted": trajectories_planted}
)
