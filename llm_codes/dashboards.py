"""Feature dashboards for one dictionary: density, strongest contexts, the tokens it prefers, its effect on the logits.

From the same pieces as the circuit page: `PairConsumer`-like harvest of one side, `ContextIndex`, `logits_effect`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from markupsafe import Markup
from torch import Tensor

from eval.errors import UserError
from eval.measures.connector import FeatureRows
from eval.report.page import Page
from llm_codes.circuits.contexts import ContextIndex
from llm_codes.circuits.reading import logits_effect
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import harvest
from llm_codes.models import Model
from llm_codes.saes.files import SAEFolder, check_fits
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
) -> list[dict[str, Any]]:
    """One entry per feature: `feature`, `density`, `top`, `contexts`, `promotes`, `demotes`.

    features: which; if absent, `count` features spread evenly over the densities of those that fire.

    Raises:
        UserError: an unknown feature, a dictionary that does not fit, no feature that fires.
    """
    consumer = FeatureConsumer(model, check_fits(sae, model))
    harvest(model, corpus, [consumer], label="dashboards")
    index = consumer.index(model, corpus)
    chosen = list(features) if features is not None else _spread(index, count)
    wrong = [feature for feature in chosen if not 0 <= feature < sae.n_features]
    if wrong:
        raise UserError(f"unknown feature {wrong[0]}: expected 0 to {sae.n_features - 1}; choose one of those")
    writes = sae.d_out == model.d_model and resolve_site(model, sae.hook_out).kind != "mlp_in"
    effects = logits_effect(model, sae, chosen) if writes else [{} for _ in chosen]
    return [
        {
            "feature": feature,
            "density": index.density(feature),
            "top": index.top_tokens(feature, 5),
            "contexts": index.contexts(feature, 5),
            **effect,
        }
        for feature, effect in zip(chosen, effects, strict=True)
    ]


def _spread(index: ContextIndex, count: int) -> list[int]:
    """Features evenly spread over the ranks of density, silent ones left out."""
    counts = np.diff(index.starts)
    live = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    if not len(live):
        raise UserError("expected a feature that fires; got none on these tokens; read more --tokens")
    places = np.linspace(0, len(live) - 1, min(count, len(live))).round().astype(int)
    return [int(live[place]) for place in dict.fromkeys(places)]


def add_dashboards(page: Page, entries: Sequence[Mapping[str, Any]], title: str = "Features") -> None:
    """A chapter with one block per feature."""
    section = page.section(title, "features")
    for entry in entries:
        words = " ".join(repr(token) for token in entry["top"])
        body = Markup("").join(_context(context) for context in entry["contexts"])
        if "promotes" in entry:
            body += Markup("<p>promotes {}; demotes {}</p>").format(
                " ".join(map(repr, entry["promotes"])), " ".join(map(repr, entry["demotes"]))
            )
        section.details(f"feature {entry['feature']}: {words} (density {entry['density']:.2%})", body)


def _context(context: Mapping[str, Any]) -> Markup:
    pieces = [
        Markup("<mark>{}</mark>").format(text) if i == context["at"] else Markup("{}").format(text)
        for i, text in enumerate(context["tokens"])
    ]
    return Markup('<p class="window">{} &nbsp; {:.2f}</p>').format(Markup("").join(pieces), context["value"])
