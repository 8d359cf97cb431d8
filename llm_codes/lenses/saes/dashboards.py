"""Feature dashboards for one dictionary: density, strongest contexts, the tokens it prefers, its effect on the logits.

From the same pieces as the circuit page: a harvest consumer of one side, `ContextIndex`, `logits_effect`.
Axes: token, feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from eval.errors import UserError
from eval.measures.dictionaries.feature_rows import FeatureRows
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.logits import RESIDUAL_KINDS, logits_effect
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.lenses.saes.rows import FeatureEntry
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site


class FeatureConsumer:
    """Keeps one dictionary's sparse features and where each token is."""

    def __init__(self, model: Model, sae: SAEFolder) -> None:
        self.sae, self.site = sae, resolve_site(model, sae.hook)
        self.rows: list[FeatureRows] = []
        self.places: list[np.ndarray] = []

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site,)

    def update(self, activations: Mapping[str, Tensor], batch: Batch, keep: Bool[Tensor, "batch position"]) -> None:
        self.rows.append(self.sae.encode_rows(activations[self.site.hook][keep].float().cpu()))
        row, position = keep.cpu().nonzero(as_tuple=True)
        self.places.append(torch.stack([batch.tokens[row, position], batch.window[row], position]).numpy())

    def index(self, model: Model, corpus: Corpus) -> ContextIndex:
        """Contexts by feature, once the pass is over."""
        tokens, window, position = np.concatenate(self.places, axis=1)
        places: Any = SimpleNamespace(tokens=tokens, window=window, position=position, windows=corpus.tokens)
        return ContextIndex(FeatureRows.concatenate(self.rows), places, model)


def dashboards(
    model: Model, sae: SAEFolder, corpus: Corpus, features: Sequence[int] | None = None, *, count: int = 24
) -> list[FeatureEntry]:
    """One pass over the corpus, then `dashboard_entries`.

    Raises:
        UserError: an unknown feature, a dictionary that does not fit, no feature that fires.
    """
    consumer = FeatureConsumer(model, check_fits(sae, model))
    check_features(sae, features or ())
    harvest(model, corpus, [consumer], label="dashboards")
    return dashboard_entries(model, sae, consumer.index(model, corpus), features, count=count)


def check_features(sae: SAEFolder, features: Sequence[int]) -> None:
    """Every feature is one of the dictionary's.

    Raises:
        UserError: one is not.
    """
    wrong = [feature for feature in features if not 0 <= feature < sae.n_features]
    if wrong:
        raise UserError(f"unknown feature {wrong[0]}: expected 0 to {sae.n_features - 1}; choose one of those")


def dashboard_entries(
    model: Model, sae: SAEFolder, index: ContextIndex, features: Sequence[int] | None = None, *, count: int = 24
) -> list[FeatureEntry]:
    """One entry per feature; what it promotes and demotes (logits) where the dictionary writes to the residual stream.

    features: which; if absent, `count` features spread evenly over the densities of those that fire, densest first.
    histogram: how many tokens fall into each of ten equal bins from 0 to `largest`, the feature's largest activation.

    Raises:
        UserError: an unknown feature; no feature that fires.
    """
    check_features(sae, features or ())
    chosen = list(features) if features else _spread(index, count)
    writes = resolve_site(model, sae.hook_out).kind in RESIDUAL_KINDS
    effects = logits_effect(model, sae, chosen) if writes else [{} for _ in chosen]
    return [_entry(index, feature, effect) for feature, effect in zip(chosen, effects, strict=True)]


def _entry(index: ContextIndex, feature: int, effect: Mapping[str, Sequence[str]]) -> FeatureEntry:
    values = index.entries(feature)[1]
    largest = float(values.max()) if len(values) else 0.0
    counts = np.histogram(values, bins=10, range=(0.0, largest or 1.0))[0]
    return FeatureEntry(
        feature,
        index.density(feature),
        tuple(index.top_tokens(feature, 5)),
        tuple(counts.tolist()),
        largest,
        tuple(index.contexts(feature, 5)),
        **{name: tuple(tokens) for name, tokens in effect.items()},
    )


def _spread(index: ContextIndex, count: int) -> list[int]:
    """Features evenly spread over the ranks of density, silent ones left out."""
    counts = np.diff(index.starts)
    live = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    if not len(live):
        raise UserError("expected a feature that fires; got none on these tokens; read more --tokens")
    places = np.linspace(0, len(live) - 1, min(count, len(live))).round().astype(int)
    return [int(live[place]) for place in dict.fromkeys(places)]
