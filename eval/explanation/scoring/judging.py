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

from collections import defaultdict
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
    Question,
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
    cases = _Cases(drafts, units, book, count, seed)
    if judge is not None:
        cases.ask_yes_or_no(judge, [task for task in asked if task in YES_OR_NO])
        if INTRUDER in asked:
            cases.ask_for_intruders(judge)
        if SURPRISAL in asked:
            cases.read(judge.reader)
        if INTERVENTION in asked:
            cases.steer(judge, steering)
    if EMBEDDING in asked:
        cases.compare_words()
    return [
        {task: _scores(draft, task, cases.answers[place, task]) for task in asked} for place, draft in enumerate(drafts)
    ]


@dataclass
class _Cases:
    """What is asked about the units of a run, and what was answered: by (place of the unit, task)."""

    drafts: Sequence[Draft]
    units: Sequence[int]
    book: Book
    count: int
    seed: int
    answers: defaultdict[tuple[int, str], _Answers] = field(default_factory=lambda: defaultdict(_Answers))
    _known: dict[tuple[int, str], list[Question]] = field(default_factory=dict)

    def questions(self, place: int, task: str) -> list[Question]:
        """Of one unit, made once: several tasks are about the same windows. None without an explanation."""
        if (place, task) not in self._known:
            words, unit = self.drafts[place].explanation, self.units[place]
            self._known[place, task] = (
                questions(self.book, unit, words, task, self.count, self.seed) if words.is_defined else []
            )
        return self._known[place, task]

    def ask_yes_or_no(self, judge: Judge, tasks: Sequence[str]) -> None:
        places = [(place, task) for place in range(len(self.drafts)) for task in tasks]
        self._judge(judge, [(who, question) for who in places for question in self.questions(*who)])

    def _judge(self, judge: Judge, asked: Sequence[tuple[tuple[int, str], Question]]) -> None:
        """All questions in one call."""
        probabilities = judge.judge([question for _, question in asked]).tolist()
        for (who, question), probability in zip(asked, probabilities, strict=True):
            self.answers[who].probability.append(probability)
            self.answers[who].truth.append(question.truth)

    def ask_for_intruders(self, judge: Judge) -> None:
        asked = [
            (place, lineup)
            for place, (unit, draft) in enumerate(zip(self.units, self.drafts, strict=True))
            for lineup in (lineups(self.book, unit, self.count, self.seed) if draft.problem is None else [])
        ]
        picked = judge.pick([lineup for _, lineup in asked]).tolist()
        for (place, lineup), probability in zip(asked, picked, strict=True):
            self.answers[place, INTRUDER].probability += probability
            self.answers[place, INTRUDER].truth += [number == lineup.intruder for number in range(len(probability))]

    def compare_words(self) -> None:
        for place, draft in enumerate(self.drafts):
            if draft.explanation.is_defined:
                found = self.questions(place, HARD_DETECTION)
                windows = [one.record.tokens for one in found]
                alike = word_similarity(self.book, [draft.explanation.text], windows)[0]
                self.answers[place, EMBEDDING] = _Answers(alike.tolist(), [one.truth for one in found])

    def read(self, reader: Reader | None) -> None:
        for place, draft in enumerate(self.drafts):
            if reader is None:
                self.answers[place, SURPRISAL].problem = NO_READER
            elif draft.explanation.is_defined:
                found = self.questions(place, HARD_DETECTION)
                told = gains(reader, [(draft.explanation, one.record) for one in found])
                self.answers[place, SURPRISAL] = _Answers(told.tolist(), [one.truth for one in found])

    def steer(self, judge: Judge, steering: Steering | None) -> None:
        asked: list[tuple[tuple[int, str], Question]] = []
        for place, (unit, draft) in enumerate(zip(self.units, self.drafts, strict=True)):
            who = (place, INTERVENTION)
            problem = draft.undefined or (UNTRAINED if draft.condition == "untrained" else None)
            if problem or steering is None:
                self.answers[who].problem = problem or NO_STEERING
                continue
            found = steered_questions(self.book, unit, draft.explanation, steering, self.count, self.seed)
            if isinstance(found, str):
                self.answers[who].problem = found
            else:
                asked += [(who, question) for question in found]
        self._judge(judge, asked)


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
