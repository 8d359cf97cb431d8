"""Units -> records -> explanations -> simulations -> scores, for one condition.

Three window mixes, and every score says its own: ``random`` (shared by all units; the primary comparison), ``top`` (the
unit's own top windows of the score documents), ``top_and_random`` (both pooled, the mix of [B23]; with one top window
per random one in [B23], here as many as were asked for). Truth is 10 relu(x) / max on the score windows, max being the
unit's largest activation on the explain documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.explanation.calibration import fit_calibration
from eval.explanation.classification import TASKS, Judge, classification_scores, questions
from eval.explanation.explainers import Explainer, Explanation, TokenLookupExplainer
from eval.explanation.records import LEVELS, Book, Record
from eval.explanation.scorers import SCORES, document_sums, score_all
from eval.explanation.simulators import Simulation, Simulator, Task, TokenLookupSimulator, lookup
from eval.explanation.units import Unit
from eval.scores import Score

MIXES = ("random", "top", "top_and_random")
PRIMARY = ("random", "correlation")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How units are scored. top_windows: per unit. calibration: a member of ``CALIBRATIONS``. tasks: of ``TASKS``.

    questions: per class and task. n_resamples: bootstrap draws behind every interval.
    """

    top_windows: int = 10
    calibration: str = "none"
    tasks: tuple[str, ...] = TASKS
    questions: int = 10
    n_resamples: int = 1000
    seed: int = 0


@dataclass(eq=False)
class UnitResult:
    """Everything about one unit in one condition.

    scores: mix -> score name -> Score. sums: mix -> per-document sums and their documents (what the statistics
    resample). baselines: name -> mix -> score name -> Score. null: mean correlation with the *other* units'
    predictions. shown: (mix, record, simulation) of the windows a page shows. notes: survived faults and how often.
    """

    unit: Unit
    condition: str
    explanation: Explanation
    scale: float
    sign: int
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    sums: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    baselines: dict[str, dict[str, dict[str, Score]]] = field(default_factory=dict)
    tasks: dict[str, dict[str, Score]] = field(default_factory=dict)
    null: Score = field(default_factory=lambda: Score.undefined("not computed"))
    predicted: np.ndarray = field(default_factory=lambda: np.zeros(0))
    truth: np.ndarray = field(default_factory=lambda: np.zeros(0))
    shown: list[tuple[str, Record, Simulation]] = field(default_factory=list)
    outside: float | None = None
    missing: int = 0
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def primary(self) -> Score:
        """The score that is compared: correlation on the shared random windows."""
        return self.scores[PRIMARY[0]][PRIMARY[1]]


def explain_and_score(
    book: Book,
    explainer: Explainer,
    simulator: Simulator,
    *,
    condition: str = "trained",
    judge: Judge | None = None,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    show: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, label: items,
) -> list[UnitResult]:
    """Explain, simulate and score every unit of a book.

    Baselines (token lookup where an LLM explains, and a constant) are scored on the same windows. ``show`` wraps a loop
    for a progress bar.
    """
    # Phase 1: words
    explanations = explainer.explain(book, range(len(book)))
    # Phase 2: simulations of every window of every unit, side by side
    records = [_records(book, unit, settings) for unit in range(len(book))]
    tasks = [
        Task(explanations[unit], record.strings, record.tokens)
        for unit, mixes in enumerate(records)
        for mix in mixes.values()
        for record in mix
        if explanations[unit].is_defined
    ]
    simulations = iter(simulator.simulate(tasks))
    # Phase 3: scores
    results = []
    for unit, mixes in show(list(enumerate(records)), f"scores ({condition})"):
        explanation = explanations[unit]
        result = UnitResult(book.units[unit], condition, explanation, float(book.scale[unit]), int(book.signs[unit]))
        simulated = {
            mix: [
                next(simulations)
                if explanation.is_defined
                else Simulation.failed(len(record.tokens), explanation.reason or "no explanation")
                for record in chosen
            ]
            for mix, chosen in mixes.items()
        }
        _score_unit(
            result, book, unit, mixes, simulated, settings, is_lookup=isinstance(simulator, TokenLookupSimulator)
        )
        results.append(result)
    if judge is not None:
        _judge(results, book, judge, settings)
    _shuffled_explanations(results)
    return results


def _records(book: Book, unit: int, settings: Settings) -> dict[str, list[Record]]:
    mixes = {"random": book.random(unit, "score"), "top": book.top(unit, "score", settings.top_windows)}
    if settings.calibration != "none":
        mixes["calibrate"] = book.random(unit, "calibrate") + book.top(unit, "calibrate", settings.top_windows)
    return mixes


def _score_unit(
    result: UnitResult,
    book: Book,
    unit: int,
    mixes: dict[str, list[Record]],
    simulated: dict[str, list[Simulation]],
    settings: Settings,
    *,
    is_lookup: bool,
) -> None:
    """Fill in scores, baselines and bookkeeping of one unit."""
    scale = result.scale if result.scale > 0 else 1.0
    truth = {mix: _concatenate([LEVELS * r.values / scale for r in chosen]) for mix, chosen in mixes.items()}
    predicted = {mix: _concatenate([s.values for s in chosen]) for mix, chosen in simulated.items()}
    document = {
        mix: _concatenate([np.full(len(r.tokens), r.document) for r in chosen]).astype(int)
        for mix, chosen in mixes.items()
    }
    if settings.calibration != "none":
        calibrate, note = fit_calibration(settings.calibration, predicted["calibrate"], truth["calibrate"])
        predicted = {mix: calibrate(values) for mix, values in predicted.items()}
        if note:
            result.notes[note] = 1
    for table in (truth, predicted, document):
        table["top_and_random"] = np.concatenate([table["top"], table["random"]])
    problem = book.problem(unit) or (None if result.explanation.is_defined else result.explanation.reason)
    result.scores = {
        mix: _scores(result, mix, truth[mix], predicted[mix], document[mix], settings, problem) for mix in MIXES
    }
    _baselines(result, book, unit, mixes, truth, document, settings, is_lookup=is_lookup)
    result.truth, result.predicted = truth["random"], predicted["random"]
    result.shown = [
        (mix, record, simulation)
        for mix in ("top", "random")
        for record, simulation in zip(mixes[mix], simulated[mix], strict=True)
    ]
    _bookkeeping(result, simulated)


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)


def _scores(
    result: UnitResult | None,
    mix: str,
    truth: np.ndarray,
    predicted: np.ndarray,
    document: np.ndarray,
    settings: Settings,
    problem: str | None,
) -> dict[str, Score]:
    sums, documents = document_sums(truth, predicted, document)
    if result is not None:
        result.sums[mix] = sums, documents
    if problem:
        return {name: Score.undefined(problem, len(documents)) for name in SCORES}
    return score_all(sums, n_resamples=settings.n_resamples, seed=settings.seed)


def _baselines(
    result: UnitResult,
    book: Book,
    unit: int,
    mixes: dict[str, list[Record]],
    truth: dict[str, np.ndarray],
    document: dict[str, np.ndarray],
    settings: Settings,
    *,
    is_lookup: bool,
) -> None:
    """What needs no language model, on the same windows: the mean of the explain documents, and token lookup."""
    problem, scale = book.problem(unit), max(result.scale, 1e-300)
    table = book.table(unit)
    constant = LEVELS * table.prior / scale
    predictions = {"constant": {mix: np.full(len(truth[mix]), constant) for mix in MIXES}}
    if not is_lookup:
        told = Explanation("", table, scale)
        found = {mix: _concatenate([lookup(told, np.array(r.tokens)) for r in mixes[mix]]) for mix in ("top", "random")}
        predictions["token_lookup"] = {**found, "top_and_random": np.concatenate([found["top"], found["random"]])}
    for name, by_mix in predictions.items():
        result.baselines[name] = {
            mix: _scores(None, mix, truth[mix], by_mix[mix], document[mix], settings, problem) for mix in MIXES
        }


def _bookkeeping(result: UnitResult, simulated: dict[str, list[Simulation]]) -> None:
    every = [simulation for chosen in simulated.values() for simulation in chosen]
    outside = [simulation.outside for simulation in every if simulation.outside is not None]
    result.outside = float(np.mean(np.concatenate(outside))) if outside else None
    result.missing = sum(simulation.missing for simulation in every)
    for simulation in every:
        for note in (*simulation.notes, *([simulation.reason] if simulation.reason else [])):
            result.notes[note] = result.notes.get(note, 0) + 1


def _judge(results: Sequence[UnitResult], book: Book, judge: Judge, settings: Settings) -> None:
    """Detection and fuzzing of every unit, all questions in one call."""
    asked, owner = [], []
    for unit, result in enumerate(results):
        for task in settings.tasks:
            if result.explanation.is_defined:
                found = questions(book, unit, result.explanation, task, settings.questions, settings.seed)
                asked += found
                owner += [(unit, task)] * len(found)
    probability = judge.judge(asked)
    for unit, result in enumerate(results):
        for task in settings.tasks:
            rows = [row for row, who in enumerate(owner) if who == (unit, task)]
            truth = np.array([asked[row].truth for row in rows], dtype=bool)
            result.tasks[task] = classification_scores(probability[rows], truth)


def _shuffled_explanations(results: Sequence[UnitResult]) -> None:
    """The null: how well do *other* units' explanations (same kind and layer) predict this unit? Mean correlation over
    them, on the shared random windows, where their simulations are there already."""
    groups: dict[tuple[str, int, str], list[UnitResult]] = {}
    for result in results:
        groups.setdefault((result.unit.kind, result.unit.layer, result.unit.source), []).append(result)
    for members in groups.values():
        for result in members:
            if not result.primary.is_defined:
                result.null = Score.undefined(result.primary.reason or "the unit has no score")
                continue
            values = [_correlation(result.truth, other.predicted) for other in members if other is not result]
            values = [value for value in values if np.isfinite(value)]
            result.null = (
                Score(float(np.mean(values)), n=len(values))
                if values
                else Score.undefined("no other unit of this kind and layer has a prediction")
            )


def _correlation(a: np.ndarray, p: np.ndarray) -> float:
    ok = np.isfinite(a) & np.isfinite(p)
    a, p = a[ok], p[ok]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(p) == 0:
        return float("nan")
    a, p = a - a.mean(), p - p.mean()
    return float(a @ p / np.sqrt((a @ a) * (p @ p)))


def baseline_only(book: Book, settings: Settings = Settings(), condition: str = "trained") -> list[UnitResult]:  # noqa: B008
    """Token lookup as explainer and simulator: the run that needs no language model."""
    return explain_and_score(
        book, TokenLookupExplainer(), TokenLookupSimulator(), condition=condition, settings=settings
    )
