"""Explain, simulate, score: units of a hooked model -> records -> explanations -> simulations -> scores.

    model = load_model("embedded")
    corpus = load_corpus("sotu", model.tokenizer, context=65, n_tokens=160_000, split="all")
    recorded = record(model, corpus, kinds=("neuron", "random"), per_layer=20)
    results = explain_and_score(recorded.books["trained"], TokenLookupExplainer(), TokenLookupSimulator())

`explain` runs every condition, `summarise` makes the tables, `command` is `python -m llm_codes explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.errors import UserError, known_name
from eval.explanation.evaluate import Settings, UnitResult, explain_and_score
from eval.explanation.records import Book, Recorder
from eval.explanation.units import parse_kinds
from eval.explanation.windows import SPLITS, Windows, leakage, remove_near_duplicates, split_documents
from eval.progress import progress
from llm_codes.corpus import Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.explain.backends import Parts
from llm_codes.lenses.explain.cluster_units import cluster_readouts
from llm_codes.lenses.explain.units import (
    Readout,
    RecordUnits,
    SiteMoments,
    centred,
    columns_of,
    coordinate_readout,
    direction_readout,
    sae_folders,
    sae_readout,
)
from llm_codes.models import Model, untrained_like
from llm_codes.sites import Site, resolve_sites

CONTROLS = ("shuffled", "untrained")


@dataclass(eq=False)
class Recorded:
    """One book per condition, the windows they share, and which controls were left out, with the reason."""

    books: dict[str, Book]
    windows: Windows
    readouts: list[Readout]
    skipped: dict[str, str] = field(default_factory=dict)

    def audit(self) -> dict[str, int]:
        """The leakage audit over every window any unit was explained or scored on."""
        used = {
            split: np.unique(np.concatenate([book.windows_used(split) for book in self.books.values()]))
            for split in SPLITS
        }
        return leakage(self.windows, {split: numbers.tolist() for split, numbers in used.items()})


def choose_windows(
    model: Model, corpus: Corpus, *, calibrate: bool = False, seed: int = 0
) -> tuple[Corpus, Windows, dict[int, int]]:
    """Full windows without near-duplicates, split by document; and corpus window number -> row.

    Raises `UserError` where fewer than 20 windows are left.
    """
    corpus = corpus.select(np.flatnonzero(corpus.mask.all(1)))
    keep = corpus.mask.copy()
    keep[:, 0] = False
    if len(corpus) < 20:
        raise UserError(
            f"expected at least 20 full windows of {corpus.context} tokens, got {len(corpus)}; "
            "use a longer corpus, more --tokens or a shorter --window"
        )
    corpus = corpus.select(remove_near_duplicates(corpus.tokens, keep))
    keep = keep[: len(corpus)]
    strings = {int(t): text for t, text in _strings(model, np.unique(corpus.tokens))}
    split = split_documents(corpus.document, calibrate=calibrate, seed=seed)
    windows = Windows(corpus.tokens.astype(np.int64), keep, corpus.document, split, strings)
    return corpus, windows, {int(number): row for row, number in enumerate(corpus.window)}


def _strings(model: Model, tokens: np.ndarray) -> list[tuple[int, str]]:
    ids = [int(token) for token in tokens]
    return list(zip(ids, model.token_strings(ids), strict=True))


def fit(
    model: Model, corpus: Corpus, sites: Sequence[Site], batch_size: int, label: str, kinds: Iterable[str] = ()
) -> SiteMoments:
    """Moments of the sites on the explain windows: means, mean maxima, and what the directions of `kinds` need."""
    wanted = set(kinds)
    moments = SiteMoments(sites, covariance=bool(wanted & {"pca", "action"}), steps="action" in wanted)
    harvest(model, corpus, [moments], batch_size=batch_size, label=label)
    return moments


def build_readouts(
    model: Model,
    explain_part: Corpus,
    kinds: Sequence[tuple[str, str]],
    sites: Sequence[Site],
    moments: SiteMoments,
    *,
    per_layer: int,
    neurons: str,
    batch_size: int,
    seed: int,
) -> list[Readout]:
    """The readouts of every kind of unit at every site (an SAE brings its own site)."""
    out = []
    for kind, source in kinds:
        if kind == "sae":
            out += [sae_readout(model, folder, per_layer, seed) for folder in sae_folders(source)]
            continue
        if kind == "cluster":
            out += cluster_readouts(model, explain_part, sites, per_layer, batch_size)
            continue
        for site in sites:
            if kind == "neuron":
                out.append(coordinate_readout(site, moments, per_layer, ranked=neurons == "top", seed=seed))
            else:
                out.append(direction_readout(kind, site, moments, per_layer, seed))
    return out


def record(
    model: Model,
    corpus: Corpus,
    *,
    kinds: Sequence[str] = ("neuron", "random", "pca"),
    per_layer: int = 20,
    layers: str = ":",
    site: str = "mlp_post",
    neurons: str = "sampled",
    sign: str = "skewness",
    controls: Sequence[str] = CONTROLS,
    random_windows: int = 120,
    top_windows: int = 10,
    calibrate: bool = False,
    batch_size: int = 16,
    seed: int = 0,
) -> Recorded:
    """Choose units and windows and record every unit on them, trained and in the control conditions.

    Two passes over the corpus: the explain documents first (means, principal directions), then everything, feeding the
    units and their shuffled controls at once; a third and fourth on the untrained model where that control is wanted.

    Raises `UserError` for unknown kinds, sites, layers and controls, too few documents or windows.
    """
    for control in controls:
        known_name(control, CONTROLS, "control")
    wanted = parse_kinds(tuple(kinds))
    corpus, windows, number = choose_windows(model, corpus, calibrate=calibrate, seed=seed)
    explain_part = corpus.select(windows.of("explain"))
    sites = resolve_sites(model, (site,), layers)
    moments = fit(model, explain_part, sites, batch_size, "moments", [kind for kind, _ in wanted])
    options = {"per_layer": per_layer, "neurons": neurons, "batch_size": batch_size, "seed": seed}
    readouts = build_readouts(model, explain_part, wanted, sites, moments, **options)
    shared = {split: windows.sample(split, min(random_windows, len(windows.of(split)) // 2), seed) for split in SPLITS}
    units, columns = columns_of(readouts)
    n_columns = sum(map(len, columns))

    def recorder() -> Recorder:
        return Recorder(windows, n_columns, shared, max(top_windows, 5))

    trained, control = recorder(), recorder() if "shuffled" in controls else None
    shuffled = _shuffle_within_splits(windows, seed) if control is not None else None
    consumer = RecordUnits(readouts, trained, number, control, shuffled)
    harvest(model, corpus, [consumer], batch_size=batch_size, label="records")
    recorded = Recorded({"trained": trained.finish(units, columns, sign)}, windows, readouts)
    if control is not None:
        recorded.books["shuffled"] = control.finish(units, columns, sign)
    if "untrained" in controls:
        fresh = untrained_like(model, seed)
        moments = fit(fresh, explain_part, sites, batch_size, "moments (untrained)")
        again = recorder()
        consumer = RecordUnits([centred(r, moments) for r in readouts], again, number)
        harvest(fresh, corpus, [consumer], batch_size=batch_size, label="records (untrained)")
        recorded.books["untrained"] = again.finish(units, columns, sign)
    return recorded


def _shuffle_within_splits(windows: Windows, seed: int) -> np.ndarray:
    """A permutation of the windows that keeps every split in itself."""
    out = np.arange(len(windows))
    for code in range(len(SPLITS)):
        members = np.flatnonzero(windows.split == code)
        out[members] = np.random.default_rng([seed, 3, code]).permutation(members)
    return out


def explain(
    recorded: Recorded, parts: Parts, settings: Settings, *, store: Callable[[str, Any], Any] | None = None
) -> list[UnitResult]:
    """Explain, simulate and score the units of every condition; `store` is told of each finished condition."""
    results: list[UnitResult] = []
    for condition, book in recorded.books.items():
        found = explain_and_score(
            book,
            parts.explainer,
            parts.simulator,
            condition=condition,
            judge=parts.judge,
            settings=settings,
            show=lambda items, label: progress(items, label=label, unit="unit"),
        )
        results += found
        if store is not None:
            store(condition, found)
    return results
