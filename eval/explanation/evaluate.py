"""Units -> records -> explanations -> simulations -> scores, for one condition.

Three window mixes, and every score says its own: ``random`` (shared by all units; the primary comparison), ``top`` (the
unit's own top windows of the score documents), ``top_and_random`` (both pooled, the mix of [B23]; with one top window
per random one in [B23], here as many as were asked for). Truth is 10 relu(x) / max on the score windows, max being the
unit's largest activation on the explain documents.

What counts. An explanation that was given and predicts one value everywhere says nothing about where the unit fires:
its correlation is 0 where the truth varies. A reply that failed or could not be read leaves the unit without a score
and lowers the coverage. A unit that is silent on the explain documents is not asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eval.explanation.drafts import Draft, joined, shown_windows, shuffled_explanations
from eval.explanation.explainers import Explainer, Explanation
from eval.explanation.lengths import length_scores, rival_score, table_prediction
from eval.explanation.records import LEVELS, Book, Record
from eval.explanation.results import (
    WHOLE_TABLE,
    DocumentSums,
    LengthScore,
    PooledScores,
    TaskScores,
    UnitResult,
)
from eval.explanation.rules.bits import ladder
from eval.explanation.rules.explainers import RuleExplainer
from eval.explanation.scoring.classification import USUAL_TASKS, Judge
from eval.explanation.scoring.interventions import Steering
from eval.explanation.scoring.judging import judged
from eval.explanation.scoring.scorers import CONSTANT, CONSTANT_PREDICTION, SCORES, document_sums, score_all
from eval.explanation.simulators import RuleSimulator, Simulation, Simulator, Task
from eval.scores import Score

MIXES = ("random", "top", "top_and_random")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How units are scored. top_windows: per unit. calibration: a member of ``CALIBRATIONS``. tasks: of ``TASKS``.

    questions: per class and task. n_resamples: bootstrap draws behind every interval. lengths: score printed rules at
    every length of the ladder too (not in the shuffled control). against: other printed rules at the same budget.
    """

    top_windows: int = 10
    calibration: str = "none"
    tasks: tuple[str, ...] = USUAL_TASKS
    questions: int = 10
    n_resamples: int = 1000
    seed: int = 0
    lengths: bool = True
    against: tuple[str, ...] = ()


def explain_and_score(
    book: Book,
    explainer: Explainer,
    simulator: Simulator,
    *,
    units: Sequence[int] | None = None,
    condition: str = "trained",
    judge: Judge | None = None,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    show: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, label: items,
    keep: Callable[[Sequence[Draft]], None] | None = None,
    steering: Steering | None = None,
) -> list[UnitResult]:
    """Explain, simulate and score units of a book (``units``: their numbers; all of them where it is not given).

    Baselines (token lookup where an LLM explains, and a constant) are scored on the same windows. ``show`` wraps a loop
    for a progress bar; ``keep`` is given truth and prediction of every token; ``steering`` steers the model for the
    scorer ``intervention``.
    """
    chosen = list(range(len(book)) if units is None else units)
    # Phase 1: words
    explanations = explainer.explain(book, chosen)
    drafts = [
        _draft(book, unit, explanation, condition, settings)
        for unit, explanation in zip(chosen, explanations, strict=True)
    ]
    # Phase 2: simulations of every window of every unit, side by side
    _simulate(drafts, simulator)
    for draft in drafts:
        draft.lay_out(settings.calibration)
    if keep is not None:
        keep(drafts)
    tasks = judged(drafts, chosen, book, judge, settings.tasks, settings.questions, settings.seed, steering)
    nulls = shuffled_explanations(drafts)
    # Phase 3: scores
    waiting = list(zip(chosen, drafts, tasks, nulls, strict=True))
    against = settings.against if condition == "trained" else ()
    rivals = [RuleExplainer(name, getattr(explainer, "bits", 0.0)) for name in against]
    return [
        replace(
            _finished(draft, book, unit, settings, found, null),
            lengths=_lengths(draft, book, unit, explainer, settings),
            rivals={rival.name: rival_score(draft, rival.explain(book, [unit])[0]) for rival in rivals},
        )
        for unit, draft, found, null in show(waiting, f"scores ({condition})")
    ]


def _lengths(draft: Draft, book: Book, unit: int, explainer: Explainer, settings: Settings) -> tuple[LengthScore, ...]:
    """Scores at every length, where the explainer prints rules."""
    if not (settings.lengths and isinstance(explainer, RuleExplainer)) or draft.condition == "shuffled":
        return ()
    steps = ladder(book.windows.vocabulary_size)
    told = explainer.at_lengths(book, unit, list(steps.values()))
    pairs = {name: (bits, words) for (name, bits), words in zip(steps.items(), told, strict=True)}
    return length_scores(draft, book, unit, pairs, RuleSimulator())


def _draft(book: Book, unit: int, explanation: Explanation, condition: str, settings: Settings) -> Draft:
    return Draft(
        book.units[unit],
        condition,
        explanation,
        float(book.scale[unit]),
        int(book.signs[unit]),
        book.problem(unit),
        _records(book, unit, settings),
    )


def _simulate(drafts: Sequence[Draft], simulator: Simulator) -> None:
    tasks = [
        Task(draft.explanation, record.tokens, record.ids)
        for draft in drafts
        if draft.explanation.is_defined
        for chosen in draft.records.values()
        for record in chosen
    ]
    simulations = iter(simulator.simulate(tasks))
    for draft in drafts:
        reason = draft.explanation.reason
        for mix, chosen in draft.records.items():
            draft.simulated[mix] = [
                next(simulations) if reason is None else Simulation.failed(len(record.tokens), reason)
                for record in chosen
            ]


def _records(book: Book, unit: int, settings: Settings) -> dict[str, list[Record]]:
    mixes = {"random": book.random(unit, "score"), "top": book.top(unit, "score", settings.top_windows)}
    if settings.calibration != "none":
        mixes["calibrate"] = book.random(unit, "calibrate") + book.top(unit, "calibrate", settings.top_windows)
    return mixes


def _finished(
    draft: Draft, book: Book, unit: int, settings: Settings, tasks: dict[str, TaskScores], null: Score
) -> UnitResult:
    """Scores, baselines and bookkeeping of one unit."""
    sums = {mix: document_sums(draft.truth[mix], draft.predicted[mix], draft.document[mix]) for mix in MIXES}
    scores = {mix: _pooled(*sums[mix], settings, draft.undefined, constant=True) for mix in MIXES}
    every = [simulation for chosen in draft.simulated.values() for simulation in chosen]
    for simulation in every:
        for note in (*simulation.notes, *([simulation.reason] if simulation.reason else [])):
            draft.notes[note] = draft.notes.get(note, 0) + 1
    outside = [simulation.outside for simulation in every if simulation.outside is not None]
    wanted = draft.problem is None
    truth = draft.truth["random"][np.isfinite(draft.truth["random"])]
    return UnitResult(
        unit=draft.unit,
        condition=draft.condition,
        explanation=draft.explanation,
        scale=draft.scale,
        sign=draft.sign,
        scores=scores,
        sums={mix: DocumentSums(*found) for mix, found in sums.items()},
        baselines=_baselines(draft, book, unit, settings),
        tasks=tasks,
        null=null if scores["random"].correlation.is_defined else Score.undefined(_reason(scores["random"])),
        shown=tuple(shown_windows(draft)),
        histogram=tuple(np.histogram(np.clip(truth, 0, LEVELS), bins=np.arange(LEVELS + 2) - 1e-9)[0].tolist()),
        outside=float(np.mean(np.concatenate(outside))) if outside else None,
        asked=len(draft.predicted["random"]) if wanted else 0,
        unpredicted=int(np.isnan(draft.predicted["random"]).sum()) if wanted else 0,
        missing=sum(simulation.missing for simulation in every) + draft.unanswered if wanted else 0,
        notes=draft.notes,
        bits=draft.explanation.bits,
    )


def _reason(scores: PooledScores) -> str:
    return scores.correlation.reason or "the unit has no score"


def _pooled(
    sums: np.ndarray, documents: np.ndarray, settings: Settings, problem: str | None, *, constant: bool = False
) -> PooledScores:
    """The scores of one mix. constant: a constant prediction counts as a correlation of 0 where the truth varies."""
    if problem:
        return PooledScores(**{name: Score.undefined(problem, len(documents)) for name in SCORES})
    found = score_all(sums, n_resamples=settings.n_resamples, seed=settings.seed)
    if constant and found["correlation"].reason == CONSTANT_PREDICTION:
        found["correlation"] = Score(0.0, n=found["correlation"].n, interval_reason=CONSTANT)
    return PooledScores(**found)


def _baselines(draft: Draft, book: Book, unit: int, settings: Settings) -> dict[str, dict[str, PooledScores]]:
    """What says nothing, and what nobody reads, on the same windows: the mean of the explain documents, and the whole
    table of token means (an upper bound for token lists)."""
    constant = LEVELS * book.table(unit).prior / max(draft.scale, 1e-300)
    whole = {mix: joined([table_prediction(book, unit, r.ids) for r in draft.records[mix]]) for mix in MIXES[:2]}
    predictions = {
        "constant": {mix: np.full(len(draft.truth[mix]), constant) for mix in MIXES},
        WHOLE_TABLE: {**whole, "top_and_random": np.concatenate([whole["top"], whole["random"]])},
    }
    return {
        name: {
            mix: _pooled(*document_sums(draft.truth[mix], by_mix[mix], draft.document[mix]), settings, draft.problem)
            for mix in MIXES
        }
        for name, by_mix in predictions.items()
    }


def rules_only(
    book: Book, settings: Settings = Settings(), condition: str = "trained", form: str = "token-lookup"  # noqa: B008
) -> list[UnitResult]:  # fmt: skip
    """Printed rules, read back: the run that needs no language model."""
    return explain_and_score(book, RuleExplainer(form), RuleSimulator(), condition=condition, settings=settings)
