"""Units of a hooked model on windows of text: which windows may be used for what, and what every unit did on them.

recorded = record(load_model("embedded"), corpus, units=("neuron", "random"), per_layer=20)
recorded.books["trained"].random(0, "score")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.errors import UserError, known_name
from eval.explanation.duplication.copies import formulas_of, linked_documents, remove_near_duplicates
from eval.explanation.records import Book, Recorder
from eval.explanation.units import parse_units
from eval.explanation.windows import SPLITS, Windows, leakage, split_documents
from llm_codes.configs.explain import RULES, ExplainOptions
from llm_codes.configs.inputs import HarvestOptions, lens_options
from llm_codes.corpus import Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.explain.chosen import Chosen, chosen_readouts, from_names, sites_of
from llm_codes.lenses.explain.unit_sources.cluster_units import cluster_readouts
from llm_codes.lenses.explain.unit_sources.dictionary_units import dictionary_readouts
from llm_codes.lenses.explain.unit_sources.unit_outputs import UnitOutputs
from llm_codes.lenses.explain.units import (
    Readout,
    RecordUnits,
    SiteMoments,
    centred,
    columns_of,
    coordinate_readout,
    direction_readout,
)
from llm_codes.models import Model, load_model, untrained_like
from llm_codes.sites import Site, resolve_sites

CONTROLS = ("shuffled", "untrained")
FIT_WINDOWS = 1000
"""Windows of the explain documents, at most, on which printed rules are fitted (their values are all kept)."""
READING = HarvestOptions(batch_size=16)
"""How the text is walked where nothing else is said: as the command does."""


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
    model: Model, corpus: Corpus, *, exclude_positions: int = 1, calibrate: bool = False, seed: int = 0
) -> tuple[Corpus, Windows, dict[int, int]]:
    """Full windows without near-duplicates, split by document; and corpus window number -> row.

    Raises `UserError` where fewer than 20 windows are left.
    """
    corpus = corpus.select(np.flatnonzero(corpus.lengths == corpus.context))
    keep = corpus.mask.copy()
    keep[:, :exclude_positions] = False
    if len(corpus) < 20:
        raise UserError(
            f"expected at least 20 full windows of {corpus.context} tokens, got {len(corpus)}; "
            "use a longer corpus, more --tokens or a shorter --window"
        )
    linked = linked_documents(corpus.tokens, keep, corpus.document)
    formulas = formulas_of(corpus.tokens, keep, corpus.document)
    corpus = corpus.select(remove_near_duplicates(corpus.tokens, keep, corpus.document, formulas))
    keep = keep[: len(corpus)]
    strings = {int(t): text for t, text in _strings(model, np.unique(corpus.tokens))}
    split = split_documents(corpus.document, calibrate=calibrate, seed=seed, linked=linked)
    tokens, size = corpus.tokens.astype(np.int64), model.vocabulary_size
    windows = Windows(tokens, keep, corpus.document, split, strings, size, linked, formulas)
    return corpus, windows, {int(number): row for row, number in enumerate(corpus.window)}


def _strings(model: Model, tokens: np.ndarray) -> list[tuple[int, str]]:
    ids = [int(token) for token in tokens]
    return list(zip(ids, model.token_strings(ids), strict=True))


class _Passes:
    """Passes over the corpus with one set of harvest options."""

    def __init__(self, model: Model, options: HarvestOptions) -> None:
        self.model = model
        self.how = {name: getattr(options, name) for name in ("batch_size", "exclude_positions", "max_memory_gb")}

    def fit(self, corpus: Corpus, sites: Sequence[Site], label: str, kinds: Iterable[str] = ()) -> SiteMoments:
        """Moments of the sites on the explain windows: means, mean maxima, what the directions of `kinds` need."""
        wanted = set(kinds)
        moments = SiteMoments(sites, covariance=bool(wanted & {"pca", "action"}), steps="action" in wanted)
        harvest(self.model, corpus, [moments], label=label, **self.how)
        return moments

    def record(self, corpus: Corpus, consumer: RecordUnits, label: str) -> None:
        harvest(self.model, corpus, [consumer], label=label, **self.how)


def build_readouts(
    passes: _Passes, explain_part: Corpus, sites: Sequence[Site], moments: SiteMoments, options: ExplainOptions,
    seed: int,
) -> list[Readout]:  # fmt: skip
    """The readouts of every kind of unit at every site (an SAE brings its own site)."""
    out: list[Readout] = []
    model, count = passes.model, options.per_layer
    for kind, source in parse_units(options.units)[0] if options.units else []:
        if kind == "sae":
            walked = explain_part if options.live else None
            out += dictionary_readouts(model, source, count, seed, walked, **passes.how)
        elif kind == "cluster":
            out += cluster_readouts(model, explain_part, sites, count, passes.how["batch_size"])
        elif kind == "neuron":
            ranked = options.neurons == "top"
            out += [
                coordinate_readout(site, moments, count, ranked=ranked, seed=seed, live=options.live) for site in sites
            ]
        else:
            out += [direction_readout(kind, site, moments, count, seed) for site in sites]
    return out


def record(
    model: Any,
    corpus: Corpus,
    options: ExplainOptions | None = None,
    harvest_options: HarvestOptions | None = None,
    *,
    chosen: Sequence[Chosen] = (),
    seed: int = 0,
    **changes: Any,
) -> Recorded:
    """Choose units and windows and record every unit on them, trained and in the control conditions.

    Two passes over the corpus: the explain documents first (means, principal directions), then everything, feeding the
    units and their shuffled controls at once; a third and fourth on the untrained model where that control is wanted.

    Args:
        model: a `Model`, a name, or an existing bridge. corpus: windows, with the left-out positions at their head.
        options: units, layers, windows, controls (see `ExplainOptions`).
        chosen: units one by one (`llm_codes.units`), beside those of the options.
        harvest_options: excluded positions, batch size, memory limit. changes: single ones of either by name.

    Raises:
        UserError: unknown kinds, sites, layers and controls, too few documents or windows.
    """
    options, reading = lens_options(ExplainOptions, options, harvest_options or READING, changes)
    for control in options.controls:
        known_name(control, CONTROLS, "control")
    kinds, named = parse_units(options.units) if options.units or not chosen else ([], [])
    wanted = [kind for kind, _ in kinds]
    model = load_model(model)
    chosen = [*chosen, *from_names(model, named, options.site)]
    its_sites = sites_of(model, chosen)
    corpus, windows, number = choose_windows(
        model,
        corpus,
        exclude_positions=reading.exclude_positions,
        calibrate=options.calibrates,
        seed=seed,
    )
    explain_part = corpus.select(windows.of("explain"))
    drawn_from = resolve_sites(model, (options.site,), options.layers) if kinds else []
    sites = list(dict.fromkeys([*drawn_from, *its_sites]))
    passes = _Passes(model, reading)
    moments = passes.fit(explain_part, sites, "moments", wanted)
    readouts = build_readouts(passes, explain_part, drawn_from, moments, options, seed)
    readouts += chosen_readouts(model, chosen, moments)
    units, columns = columns_of(readouts)
    most = options.n_random_windows
    shared = {split: windows.sample(split, min(most, len(windows.of(split)) // 2), seed) for split in SPLITS}
    fit = windows.sample("explain", FIT_WINDOWS, seed) if options.explainer in RULES else None
    recorded = Recorded({}, windows, readouts)

    def recorder() -> Recorder:
        return Recorder(windows, sum(map(len, columns)), shared, max(options.n_top_windows, 5), fit)

    trained, control = recorder(), recorder() if "shuffled" in options.controls else None
    shuffled = _shuffle_within_splits(windows, seed) if control is not None else None
    passes.record(corpus, RecordUnits(readouts, trained, number, control, shuffled), "records")
    recorded.books["trained"] = trained.finish(units, columns, options.sign)
    if control is not None:
        recorded.books["shuffled"] = control.finish(units, columns, options.sign)
    for book in recorded.books.values():
        book.outputs = UnitOutputs(lambda: model, readouts)
    if "untrained" in options.controls and model.untrained:
        recorded.skipped["untrained"] = "the model is untrained itself"
    elif "untrained" in options.controls:
        fresh = _Passes(untrained_like(model, seed), reading)
        again = _record_again(fresh, corpus, explain_part, sites, readouts, recorder(), number)
        recorded.books["untrained"] = again.finish(units, columns, options.sign)
        recorded.books["untrained"].outputs = UnitOutputs(lambda: untrained_like(model, seed), readouts)
    return recorded


def _record_again(
    passes: _Passes, corpus: Corpus, explain_part: Corpus, sites: Sequence[Site], readouts: Sequence[Readout],
    recorder: Recorder, number: dict[int, int],
) -> Recorder:  # fmt: skip
    """The same readouts on another network, directions centred on its own means."""
    moments = passes.fit(explain_part, sites, "moments (untrained)")
    passes.record(corpus, RecordUnits([centred(r, moments) for r in readouts], recorder, number), "records (untrained)")
    return recorder


def _shuffle_within_splits(windows: Windows, seed: int) -> np.ndarray:
    """A permutation of the windows that keeps every split in itself."""
    out = np.arange(len(windows))
    for code in range(len(SPLITS)):
        members = np.flatnonzero(windows.split == code)
        out[members] = np.random.default_rng([seed, 3, code]).permutation(members)
    return out
