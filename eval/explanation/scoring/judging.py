"""Questions to a judge about many units, all in one call, and the scores of what it answers.

| scorer | question | needs |
|---|---|---|
| ``detection`` | does the unit fire in this window? (top windows, and the lowest of the random ones) | a judge |
| ``hard-detection`` | the same against the silent windows nearest to the top ones (`scoring.examples`) | a judge |
| ``fuzzing`` | are these the tokens on which it fires? | a judge |
| ``intruder`` | which window does not belong? (`scoring.lineups`; reads no explanation) | a judge |
| ``embedding`` | is the window more like the words than another? (`scoring.similarity`, hard negatives) | nothing |
| ``surprisal`` | do the words help to expect the window? (`scoring.surprisal`, hard negatives) | a local judge |
| ``intervention`` | does it fire in what the steered model says? (`scoring.interventions`) | a judge, a model |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.explanation.drafts import Draft
from eval.explanation.records import Book
from eval.explanation.results import TaskScores
from eval.explanation.scoring.classification import (
    EMBEDDING,
    HARD_DETECTION,
    INTERVENTION,
    INTRUDER,
    NO_READER,
    NO_THRESHOLD,
    SURPRISAL,
    WITHOUT_THRESHOLD,
    YES_OR_NO,
    Judge,
    classification_scores,
    questions,
)
from eval.explanation.scoring.interventions import Steering, steered_questions
from eval.explanation.scoring.lineups import lineups
from eval.explanation.scoring.similarity import word_similarity
from eval.explanation.scoring.surprisal import Reader, gains
from eval.scores import Score

NO_STEERING = "no model was given to steer"
UNTRAINED = "the untrained control is not steered"


@dataclass
class _Answers:
    """What was answered about one unit in one task, case by case, and what is right; or why nothing was asked."""

    probability: list[float] = field(default_factory=list)
    truth: list[bool] = field(default_factory=list)
    problem: str | None = None


Answers = dict[tuple[int, str], _Answers]
"""By (place of the unit, task)."""


def judged(
    drafts: Sequence[Draft],
    units: Sequence[int],
    book: Book,
    judge: Judge | None,
    tasks: Sequence[str],
    count: int,
    seed: int,
    steering: Steering | None = None,
) -> list[dict[str, TaskScores]]:
    """Scores by task of every unit; without a judge only those that need none. count: questions of each class and task.

    steering: the model that is steered for ``intervention``.
    A question without a usable answer is left out and noted on the draft.
    """
    asked = [task for task in tasks if judge is not None or task == EMBEDDING]
    answers: Answers = {(place, task): _Answers() for place in range(len(drafts)) for task in asked}
    if judge is not None:
        _ask_yes_or_no(drafts, units, book, judge, [task for task in asked if task in YES_OR_NO], count, seed, answers)
        if INTRUDER in asked:
            _ask_for_intruders(drafts, units, book, judge, count, seed, answers)
        if SURPRISAL in asked:
            _read(drafts, units, book, judge.reader, count, seed, answers)
        if INTERVENTION in asked:
            _steer(drafts, units, book, judge, steering, count, seed, answers)
    if EMBEDDING in asked:
        _compare_words(drafts, units, book, count, seed, answers)
    return [{task: _scores(draft, task, answers[place, task]) for task in asked} for place, draft in enumerate(drafts)]


def _ask_yes_or_no(
    drafts: Sequence[Draft], units: Sequence[int], book: Book, judge: Judge, tasks: Sequence[str], count: int,
    seed: int, answers: Answers,
) -> None:  # fmt: skip
    asked, owner = [], []
    for place, (unit, draft) in enumerate(zip(units, drafts, strict=True)):
        for task in tasks if draft.explanation.is_defined else ():
            found = questions(book, unit, draft.explanation, task, count, seed)
            asked += found
            owner += [(place, task)] * len(found)
    for who, question, probability in zip(owner, asked, judge.judge(asked).tolist(), strict=True):
        answers[who].probability.append(probability)
        answers[who].truth.append(question.truth)


def _ask_for_intruders(
    drafts: Sequence[Draft], units: Sequence[int], book: Book, judge: Judge, count: int, seed: int, answers: Answers
) -> None:
    asked, owner = [], []
    for place, (unit, draft) in enumerate(zip(units, drafts, strict=True)):
        found = lineups(book, unit, count, seed) if draft.problem is None else []
        asked += found
        owner += [place] * len(found)
    for place, lineup, probability in zip(owner, asked, judge.pick(asked).tolist(), strict=True):
        answers[place, INTRUDER].probability += probability
        answers[place, INTRUDER].truth += [number == lineup.intruder for number in range(len(probability))]


def _compare_words(
    drafts: Sequence[Draft], units: Sequence[int], book: Book, count: int, seed: int, answers: Answers
) -> None:
    for place, (unit, draft) in enumerate(zip(units, drafts, strict=True)):
        if draft.explanation.is_defined:
            found = questions(book, unit, draft.explanation, HARD_DETECTION, count, seed)
            alike = word_similarity(book, [draft.explanation.text], [one.record.tokens for one in found])[0]
            answers[place, EMBEDDING] = _Answers(alike.tolist(), [one.truth for one in found])


def _read(
    drafts: Sequence[Draft], units: Sequence[int], book: Book, reader: Reader | None, count: int, seed: int,
    answers: Answers,
) -> None:  # fmt: skip
    for place, (unit, draft) in enumerate(zip(units, drafts, strict=True)):
        if reader is None:
            answers[place, SURPRISAL].problem = NO_READER
        elif draft.explanation.is_defined:
            found = questions(book, unit, draft.explanation, HARD_DETECTION, count, seed)
            told = gains(reader, [(draft.explanation, one.record) for one in found])
            answers[place, SURPRISAL] = _Answers(told.tolist(), [one.truth for one in found])


def _steer(
    drafts: Sequence[Draft], units: Sequence[int], book: Book, judge: Judge, steering: Steering | None, count: int,
    seed: int, answers: Answers,
) -> None:  # fmt: skip
    for place, (unit, draft) in enumerate(zip(units, drafts, strict=True)):
        problem = draft.undefined or (UNTRAINED if draft.condition == "untrained" else None)
        if problem or steering is None:
            answers[place, INTERVENTION].problem = problem or NO_STEERING
            continue
        found = steered_questions(book, unit, draft.explanation, steering, count, seed)
        if isinstance(found, str):
            answers[place, INTERVENTION].problem = found
            continue
        probability = judge.judge(found).tolist()
        answers[place, INTERVENTION] = _Answers(probability, [one.truth for one in found])


def _scores(draft: Draft, task: str, answers: _Answers) -> TaskScores:
    if answers.problem:
        undefined = Score.undefined(answers.problem, 0)
        return TaskScores(undefined, undefined)
    probability, truth = np.array(answers.probability, dtype=float), np.array(answers.truth, dtype=bool)
    unanswered = int(np.isnan(probability).sum())
    if unanswered:
        draft.unanswered += unanswered
        draft.notes["question without a usable answer"] = draft.unanswered
    found = classification_scores(probability, truth)
    if task in WITHOUT_THRESHOLD and found["balanced_accuracy"].is_defined:
        found["balanced_accuracy"] = NO_THRESHOLD
    return TaskScores(**found)
