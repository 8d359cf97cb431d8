"""Explain, simulate, score: units of a hooked model -> records -> explanations -> simulations -> scores.

    model = load_model("embedded")
    corpus = load_corpus("sotu", model.tokenizer, context=65, n_tokens=160_000, split="all")
    explain(model, corpus, units=("neuron", "random"), per_layer=20)

In a run folder every kind and layer of a condition is an item: what is finished is read back, and a run that is
continued with everything finished walks no text. An item with a missing prediction is not kept: it is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any

import numpy as np

from eval.explanation.evaluate import Settings
from eval.explanation.results import Explained, ExplainedUnits, UnitResult, UnitSource
from eval.explanation.scoring.classification import INTERVENTION
from eval.explanation.units import parse_units
from eval.results import Result, result
from eval.runs import Run
from llm_codes.configs.explain import ExplainOptions
from llm_codes.configs.inputs import HarvestOptions, lens_options
from llm_codes.corpus import Corpus
from llm_codes.lenses.explain.backends import Parts, open_parts
from llm_codes.lenses.explain.chosen import Chosen
from llm_codes.lenses.explain.groups import ask_ahead, finished_group, score_group
from llm_codes.lenses.explain.recording import READING, Recorded, record
from llm_codes.lenses.explain.rows import lines, summarise
from llm_codes.lenses.explain.unit_sources.steered_units import SteeredUnits
from llm_codes.lenses.explain.units import describe_readouts
from llm_codes.lenses.explain.until_decided import Drawn, draw_until_decided, stopped
from llm_codes.models import Model, load_model

__all__ = ["Plan", "Study", "explain", "explain_units", "record", "settings_of"]


PRINTED = (
    " An explanation is its printed rule, which is all that is read: fitted on the explain documents, its length "
    "chosen on documents of their own. The upper bound is the whole table of token means, which nobody reads."
)


@result
class Plan(Result):
    """What a run is made of, known once its units are recorded.

    groups: (condition, kind, layer) of each item. score_windows, score_documents: of the shared random windows;
    window_tokens: tokens that are read of each.
    """

    groups: tuple[tuple[str, str, int], ...]
    leakage: dict[str, int]
    skipped: dict[str, str]
    readouts: tuple[UnitSource, ...]
    score_windows: int
    score_documents: int
    window_tokens: int


@dataclass(frozen=True, eq=False)
class Study:
    """An explanation run: its results, every unit's, the records (walks the text where that was not needed yet), and
    the predictions of every group where they were kept (`rescoring.predictions`). stopped: why a run that stops on what
    it shows ended before it was decided, where the budget did it."""

    found: Explained
    units: list[UnitResult]
    recorded: Callable[[], Recorded]
    predictions: tuple[np.ndarray, ...] = ()
    stopped: str = ""


def explain(
    model: Any,
    corpus: Corpus,
    units: str | Sequence[str | Chosen] | None = None,
    options: ExplainOptions | None = None,
    harvest_options: HarvestOptions | None = None,
    *,
    seed: int = 0,
    run: Run | None = None,
    **changes: Any,
) -> Explained:
    """Can anyone say in words what a unit does? Explained, simulated from the words alone, and scored, with controls.

    Args:
        model: a `Model`, a name, or an existing bridge. corpus: windows, with the left-out positions at their head.
        units: kinds, or units one by one (`llm_codes.units`, or by name), which then are the rows of the result.
        options: the command's own (`ExplainOptions`); harvest_options: excluded positions, batch size, memory limit.
        changes: single ones of either by name, e.g. `per_layer=8`. run: a folder in which finished items are kept.

    Raises:
        UserError: unknown kinds, sites, layers, controls and backends, too few documents, a missing key.
        StoppedError: a server that is gone, an empty account, too many failed requests (what came is kept).
    """
    names, chosen = _asked(units)
    options, reading = lens_options(ExplainOptions, options, harvest_options or READING, changes | names)
    opened = load_model(model)
    with ExitStack() as stack:
        parts = stack.enter_context(open_parts(options, opened, run))
        done = explain_units(opened, corpus, options, parts, chosen=chosen, reading=reading, seed=seed, run=run)
        return done.found


def explain_units(
    model: Model,
    corpus: Corpus,
    options: ExplainOptions,
    parts: Parts,
    *,
    chosen: Sequence[Chosen] = (),
    reading: HarvestOptions = READING,
    seed: int = 0,
    run: Run | None = None,
    text: str = "the given windows",
    keep_predictions: bool = False,
) -> Study:
    """`explain` with its parts open already; also every unit's results and the records.

    text: what was read. keep_predictions: as Parquet, for every finished group (needs a run).
    """
    recorded = cache(lambda: record(model, corpus, options, reading, chosen=chosen, seed=seed))

    def item(name: str, compute: Callable[[], Any]) -> Any:
        return compute() if run is None else run.item(name, compute, of=(__name__,))

    plan = Plan.from_json(item("explain-plan", lambda: _plan(recorded()).to_json()))
    settings = settings_of(options, seed)
    steering = cache(lambda: SteeredUnits(model, recorded().readouts) if INTERVENTION in options.scorers else None)
    ahead = cache(lambda condition: ask_ahead(recorded(), condition, parts, settings, steering()))
    whole = options.server.batch and not options.until_decided
    score = partial(_scored, recorded, steering, parts, settings, run, keep_predictions, ahead if whole else None)
    if options.until_decided:
        drawn = draw_until_decided(recorded(), options, score, seed)
    else:
        drawn = Drawn()
        for condition, *kind in plan.groups:
            found_units, kept = score(condition, kind)
            drawn.units += found_units
            drawn.predictions += kept
    units = drawn.units
    found = summarise(
        units,
        model.n_layers,
        seed,
        setting=describe_setting(model, options, plan, text) + (f" Stopped: {drawn.stopped}." if drawn.stopped else ""),
        leakage=plan.leakage,
        cost=parts.cost(),
        skipped_controls=plan.skipped,
        readouts=plan.readouts,
        decisions=drawn.decisions,
    )
    if chosen or (options.units and parse_units(options.units)[1]):
        found = ExplainedUnits(
            **{field.name: getattr(found, field.name) for field in fields(found)}, units=lines(units)
        )
    return Study(found, units, recorded, tuple(drawn.predictions), drawn.stopped)


def _scored(
    recorded: Callable[[], Recorded],
    steering: Callable[[], SteeredUnits | None],
    parts: Parts,
    settings: Settings,
    run: Run | None,
    keep_predictions: bool,
    ahead: Callable[[str], None] | None,
    condition: str,
    kind: Sequence[Any],
    members: Sequence[int] = (),
) -> tuple[list[UnitResult], list[np.ndarray]]:
    """Results and predictions of a (kind, layer) in a condition, read back where they are kept.

    ahead: asks everything about a condition at once, before its first group.
    """
    family, layer = kind

    def compute(keep: Any = None) -> list[UnitResult]:
        if ahead is not None:
            ahead(condition)
        return score_group(
            recorded, condition, family, layer, parts, settings, keep=keep, members=members, steering=steering()
        )

    return finished_group(run, (condition, family, layer), compute, keep_predictions=keep_predictions, members=members)


def _asked(units: str | Sequence[str | Chosen] | None) -> tuple[dict[str, tuple[str, ...]], list[Chosen]]:
    """(the option `units` where it is said, units one by one)."""
    if units is None:
        return {}, []
    listed = [units] if isinstance(units, str) else list(units)
    return {"units": tuple(one for one in listed if isinstance(one, str))}, [
        one for one in listed if isinstance(one, Chosen)
    ]


def settings_of(options: ExplainOptions, seed: int) -> Settings:
    """How units are scored under these options."""
    return Settings(
        top_windows=options.n_top_windows,
        calibration=options.calibration,
        tasks=options.scorers,
        questions=options.questions,
        n_resamples=options.resamples,
        seed=seed,
        lengths=options.lengths,
        against=options.rivals,
    )


def _plan(recorded: Recorded) -> Plan:
    book = recorded.books["trained"]
    groups = dict.fromkeys((unit.family, unit.layer) for unit in book.units)
    shared = book.shared["score"]
    return Plan(
        groups=tuple((condition, *group) for condition in recorded.books for group in groups),
        leakage=recorded.audit(),
        skipped=recorded.skipped,
        readouts=tuple(describe_readouts(recorded.readouts)),
        score_windows=len(shared),
        window_tokens=int(recorded.windows.keep[0].sum()),
        score_documents=len(np.unique(recorded.windows.document[shared])),
    )


def describe_setting(model: Model, options: ExplainOptions, plan: Plan, text: str) -> str:
    """One paragraph: what was compared, on which windows, under which sign policy."""
    silent = sum(source.passed_over for source in plan.readouts)
    return (
        f"{model.name} on {text}; explainer {options.explainer}, simulator {options.simulator}, calibration "
        f"{options.calibration}. Primary score: Pearson correlation pooled over the {plan.score_windows} random "
        f"windows of {plan.window_tokens} tokens ({plan.score_documents} documents) that all units share. Neurons and "
        f"directions are read at {options.site}; neurons {options.neurons}"
        f"{f', {silent} silent units passed over' if silent else ''}. A unit's activation is relu(x); directions "
        f"are centred on the explain set, sign policy {options.sign}. Explain and score sets share no document."
        + (PRINTED if options.needs_no_language_model else "")
        + (stopped(options) if options.until_decided else "")
    )
