"""A dictionary's card: what it is, on which model and text, how good beside its baselines, ten features at random.

`card.json` and `card.html`. The features are drawn by a seed from all of them, silent ones included: the best ten say
nothing about a dictionary. What was not measured is named.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.files import json_text, write_text
from eval.report.page import Page
from eval.result_json import noted
from eval.results import Result, result
from llm_codes.lenses.saes.chapter import add_sanity, score_table
from llm_codes.lenses.saes.dashboards_page import add_dashboards
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import content_hash
from llm_codes.lenses.saes.rows import ANOTHER, UNTRAINED, DictionaryEvaluation, FeatureEntry

CARD_FEATURES = 10
EXPLANATIONS = "explanation scores of its features, beside neurons and random directions (`explain --units sae:...`)"


@result
class Card(Result):
    """What a dictionary folder says of itself.

    sha256: of its weights. architecture, n_features, reads, writes. trained_on: what the training run wrote. model,
    corpus: on which the evaluation was measured, by hash. evaluation: held-out documents, baselines and stability in
    it. features: drawn at random by `seed`. not_measured: what is missing, in words.
    """

    name: str
    sha256: str
    architecture: str
    n_features: int
    reads: str
    writes: str
    trained_on: dict[str, Any]
    model: dict[str, Any]
    corpus: dict[str, Any]
    evaluation: DictionaryEvaluation
    features: tuple[FeatureEntry, ...]
    seed: int
    not_measured: tuple[str, ...]
    training: dict[str, Any] | None = noted(default=None, when_set=True)


def drawn_features(sae: SAEFolder, seed: int) -> list[int]:
    """Ten features at random, or all of fewer."""
    return sorted(random.Random(seed).sample(range(sae.n_features), min(CARD_FEATURES, sae.n_features)))


def card_of(
    sae: SAEFolder,
    found: DictionaryEvaluation,
    features: tuple[FeatureEntry, ...],
    model: dict[str, Any],
    corpus: dict[str, Any],
    seed: int,
) -> Card:
    """The card of an evaluation. model, corpus: their provenance."""
    metadata = dict(sae.metadata)
    recipe = metadata.pop("neural_codes", None)
    return Card(
        sae.name,
        content_hash(sae.sae.state_dict()),
        str(sae.sae.cfg.architecture()),
        sae.n_features,
        sae.hook,
        sae.hook_out,
        metadata,
        {name: model.get(name) for name in ("name", "weights_sha256", "tokenizer_sha256")},
        {name: corpus.get(name) for name in ("source", "split", "n_tokens", "n_documents", "sha256_of_tokens")},
        replace(found, features=()),
        features,
        seed,
        not_measured(found),
        training=recipe if isinstance(recipe, dict) else None,
    )


def not_measured(found: DictionaryEvaluation) -> tuple[str, ...]:
    """What a reader might take for granted and nobody looked at."""
    kinds = {row.baseline for row in found.baselines}
    missing = (
        [] if kinds - {ANOTHER, UNTRAINED} else ["what of its quality random baselines reach (`sae eval --baselines`)"]
    )
    missing += [] if UNTRAINED in kinds else ["what the untrained model's dictionary reaches (`sae train --untrained`)"]
    missing += [] if found.stability else ["whether another seed finds its features (`sae eval --partner`)"]
    return (*missing, EXPLANATIONS, "other texts, other models")


def write_card(card: Card, folder: Path) -> None:
    """`card.json` and `card.html` in a folder."""
    write_text(folder / "card.json", json_text(card.to_json()))
    write_text(folder / "card.html", card_html(card))


def read_card(folder: Path) -> Card:
    """The card in a dictionary's folder, from its `card.json`."""
    return Card.from_json(json.loads((folder / "card.json").read_text("utf-8")))


def card_html(card: Card) -> str:
    """The card as one offline page."""
    place = card.reads if card.reads == card.writes else f"{card.reads} to {card.writes}"
    page = Page(f"Card of {card.name}", f"{card.architecture}, {card.n_features} features, {place}")
    section = page.section("What it is", "what")
    facts = {"weights (sha256)": card.sha256, **_facts("trained on", card.trained_on)}
    facts |= _facts("training", card.training or {})
    facts |= _facts("measured: model", card.model) | _facts("measured: text", card.corpus)
    section.table([{"what": name, "value": value} for name, value in facts.items()])
    section = page.section("Quality on held-out documents", "quality")
    section.table(score_table(card.evaluation), caption="95% intervals, documents resampled.")
    add_sanity(page, card.evaluation, card.trained_on.get("training_tokens"))
    section = page.section("Not measured", "missing")
    section.table([{"nobody looked at": words} for words in card.not_measured])
    title = f"{len(card.features)} features at random (seed {card.seed})"
    add_dashboards(page, card.features, title)
    return page.html()


def _facts(name: str, values: dict[str, Any]) -> dict[str, str]:
    """Nested facts as `name: key` rows."""
    out: dict[str, str] = {}
    for key, value in values.items():
        out |= _facts(f"{name}: {key}", value) if isinstance(value, dict) else {f"{name}: {key}": str(value)}
    return out
