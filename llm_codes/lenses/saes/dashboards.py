"""Feature dashboards for one dictionary: density, strongest contexts, the tokens it prefers, its effect on the logits.

From the same pieces as the circuit page: a harvest consumer of one side, `ContextIndex`, `logits_effect`. `sae eval`
puts them on its page. Axes: token, feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from markupsafe import Markup
from torch import Tensor

from eval.errors import UserError
from eval.measures.connectors.connector import FeatureRows
from eval.report.page import Page
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.logits import logits_effect
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site

RESIDUAL_KINDS = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")  # what the unembedding can read
STYLE = "#features details { margin: 16px 0; } #features .bars { display: block; margin: 6px 0; }"


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
) -> list[dict[str, Any]]:
    """One entry per feature: `feature`, `density`, `top`, `histogram`, `contexts`, and `promotes`, `demotes` (logits)
    where the dictionary writes to the residual stream.

    features: which; if absent, `count` features spread evenly over the densities of those that fire, densest first.
    histogram: how many tokens fall into each of ten equal bins from 0 to `largest`, the feature's largest activation.

    Raises:
        UserError: an unknown feature; no feature that fires.
    """
    check_features(sae, features or ())
    chosen = list(features) if features else _spread(index, count)
    writes = resolve_site(model, sae.hook_out).kind in RESIDUAL_KINDS
    effects = logits_effect(model, sae, chosen) if writes else [{} for _ in chosen]
    return [
        {
            "feature": feature,
            "density": index.density(feature),
            "top": index.top_tokens(feature, 5),
            **_histogram(index, feature),
            "contexts": index.contexts(feature, 5),
            **effect,
        }
        for feature, effect in zip(chosen, effects, strict=True)
    ]


def _histogram(index: ContextIndex, feature: int) -> dict[str, Any]:
    values = index.entries(feature)[1]
    largest = float(values.max()) if len(values) else 0.0
    counts = np.histogram(values, bins=10, range=(0.0, largest or 1.0))[0]
    return {"histogram": counts.tolist(), "largest": largest}


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
    page.style(STYLE)
    section = page.section(title, "features")
    section.text(
        "Labels are the tokens that carry most of a feature's activation, not explanations. Bars: tokens by "
        "activation, from 0 to the largest, heights on a logarithmic scale. Contexts: the strongest, one per window, "
        "the token that fires marked, its activation behind. Promotes, demotes: tokens whose logits the feature's "
        "vector raises and lowers most directly."
    )
    for entry in entries:
        words = " ".join(repr(token) for token in entry["top"])
        summary = f"feature {entry['feature']}: {words or 'silent on these tokens'} (density {entry['density']:.2%})"
        body = _bars(entry["histogram"], entry["largest"])
        if "promotes" in entry:
            body += Markup("<p>promotes {}; demotes {}</p>").format(
                " ".join(map(repr, entry["promotes"])), " ".join(map(repr, entry["demotes"]))
            )
        body += Markup("").join(_context(context) for context in entry["contexts"])
        section.markup(Markup("<details open><summary>{}</summary>{}</details>").format(summary, body))


def _bars(counts: Sequence[int], largest: float) -> Markup:
    """A histogram as a strip of bars; heights are log(1 + count)."""
    top = max(1.0, math.log1p(max(counts, default=0)))
    bars = Markup("").join(
        Markup('<rect x="{}" y="{:.1f}" width="14" height="{:.1f}"><title>{} tokens</title></rect>').format(
            16 * i, 30 - 28 * math.log1p(count) / top, 28 * math.log1p(count) / top, count
        )
        for i, count in enumerate(counts)
    )
    template = Markup('<svg class="bars" viewBox="0 0 260 32" width="260" height="32" fill="#0072b2">{}{}</svg>')
    words = Markup('<text x="166" y="28" font-size="11" fill="#5c6470">to {:.3g}</text>').format(largest)
    return template.format(bars, words)


def _context(context: Mapping[str, Any]) -> Markup:
    texts = [text.replace("\n", "\u21b5") for text in context["tokens"]]
    pieces = [
        Markup("<mark>{}</mark>").format(text) if i == context["at"] else Markup("{}").format(text)
        for i, text in enumerate(texts)
    ]
    return Markup('<p class="window">{} &nbsp; {:.2f}</p>').format(Markup("").join(pieces), context["value"])
