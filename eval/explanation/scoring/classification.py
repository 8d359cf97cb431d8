"""Detection and fuzzing: can a judge who knows only the explanation tell where the unit fires? [Paulo et al. 2024]

*Detection*: which windows does the unit fire in? Its top windows against the random ones where its peak is lowest.
*Hard detection*: its top windows against the silent windows nearest to them (`scoring.examples`), which a judge tells
apart only if the words say more than a topic. *Fuzzing*: which tokens? Its top windows with the active tokens marked,
against the same windows with as many silent tokens marked. Both classes have the same size. Scores: balanced accuracy
at probability 1/2 (chance 0.5) and AUROC (chance 0.5; threshold-free). Windows of the score documents only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float

from eval.explanation.explainers import Chat, Explanation, active_tokens, mark
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.records import Book, Record
from eval.explanation.rules.printing import read_rule
from eval.explanation.scoring.examples import firing, hard_negatives, lowest
from eval.explanation.scoring.lineups import ChatPicker, Picker, WordPicker
from eval.explanation.scoring.surprisal import Reader
from eval.explanation.servers.answers import without_thinking, yes_or_no
from eval.explanation.tokens import visible
from eval.scores import Score

YES_OR_NO = ("detection", "fuzzing", "hard-detection")
HARD_DETECTION, INTRUDER, EMBEDDING, SURPRISAL = "hard-detection", "intruder", "embedding", "surprisal"
INTERVENTION = "intervention"
TASKS = (*YES_OR_NO, INTRUDER, EMBEDDING, SURPRISAL, INTERVENTION)
WITHOUT_THRESHOLD = (EMBEDDING, SURPRISAL)
USUAL_TASKS = ("detection", "fuzzing")
NO_THRESHOLD = Score.undefined("what is compared has no threshold of its own")
NO_READER = "the judge gives no log-probability of a text; --judge local:<model> does"


@dataclass(frozen=True)
class Question:
    """One thing to judge. task: of ``YES_OR_NO``. marked: [position], marked tokens (fuzzing). truth: the answer."""

    task: str
    explanation: Explanation
    record: Record
    marked: tuple[bool, ...]
    truth: bool


class Judge(Picker, Protocol):
    """P(yes) for each question, P(intruder) for each window of a line-up; NaN where there was no usable answer."""

    name: str
    reader: Reader | None

    def judge(self, questions: Sequence[Question]) -> Float[np.ndarray, " question"]: ...


def questions(book: Book, unit: int, explanation: Explanation, task: str, count: int, seed: int) -> list[Question]:
    """Up to ``count`` questions of each class; empty where the unit never fires in its top windows."""
    scale = float(book.scale[unit])
    top = firing(book, unit, count)
    if task != "fuzzing":
        hard = task == HARD_DETECTION
        others = hard_negatives(book, unit, top, len(top)) if hard else lowest(book, unit, len(top))
        kept = top[: len(others)]
        none = tuple(False for _ in kept[0].tokens) if kept else ()
        return [
            Question(task, explanation, record, none, truth)
            for s, truth in ((kept, True), (others, False))
            for record in s
        ]
    out = []
    generator = np.random.default_rng([seed, unit])
    for record in top:
        active = active_tokens(record, scale)
        silent = np.flatnonzero(~active)
        chosen = generator.permutation(silent)[: int(active.sum())]
        if len(chosen) < active.sum():
            continue
        wrong = np.zeros_like(active)
        wrong[chosen] = True
        out += [
            Question(task, explanation, record, tuple(active.tolist()), True),
            Question(task, explanation, record, tuple(wrong.tolist()), False),
        ]
    return out


class RuleJudge(WordPicker):
    """Judges by a printed rule alone. Detection: does it predict more than half of its own largest value somewhere?
    Fuzzing: does it predict more on the marked tokens than on the others?"""

    name = "rules"
    reader: Reader | None = None

    def judge(self, questions: Sequence[Question]) -> Float[np.ndarray, " question"]:
        return np.array([self._probability(question) for question in questions])

    def _probability(self, question: Question) -> float:
        rule = read_rule(question.explanation.text)
        (predicted,) = rule.predict([question.record.tokens])
        if question.task != "fuzzing":
            return _logistic(predicted.max() - rule.largest / 2)
        marked = np.array(question.marked)
        return _logistic(predicted[marked].mean() - predicted[~marked].mean())


def _logistic(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -50, 50))))


class ChatJudge(ChatPicker):
    """Asks a chat model yes or no; P(yes) from log-probabilities where it gives them, else from the word.

    reader: what gives the log-probability of a text, for ``surprisal``.
    """

    def __init__(self, chat: Chat, reader: Reader | None = None) -> None:
        super().__init__(chat)
        self.reader = reader
        self.name = chat.name

    def judge(self, questions: Sequence[Question]) -> Float[np.ndarray, " question"]:
        replies = self.chat.ask([conversation(question) for question in questions], maximum_tokens=2)
        return np.array([yes_probability(reply.text, reply.top_logprobs) for reply in replies])


def conversation(question: Question) -> list[Message]:
    """The prompt of one question."""
    record = question.record
    if question.task == "fuzzing":
        name, text = "fuzz", mark(record.tokens, question.marked)
    else:
        name, text = "detect", "".join(visible(token) for token in record.tokens)
    content = f"Explanation: {question.explanation.text}\nText: {text}"
    return [*load_prompt(name), {"role": "user", "content": content}]


def yes_probability(text: str, top_logprobs: Sequence[tuple[str, dict[str, float]]] | None) -> float:
    """P(yes) / (P(yes) + P(no)) of the first answer token; 1 or 0 from the word alone; NaN for anything else."""
    if top_logprobs and without_thinking(text) == text:
        mass = {"yes": 0.0, "no": 0.0}
        for token, logprob in top_logprobs[0][1].items():
            word = token.strip().lower()
            if word in mass:
                mass[word] += float(np.exp(logprob))
        if sum(mass.values()) > 1e-6:
            return mass["yes"] / sum(mass.values())
    answer = yes_or_no(text)
    return float("nan") if answer is None else float(answer)


def classification_scores(
    probability: Float[np.ndarray, " question"], truth: Bool[np.ndarray, " question"]
) -> dict[str, Score]:
    """Balanced accuracy and AUROC; unanswered questions are left out; undefined where a class is then empty."""
    ok = np.isfinite(probability)
    p, yes = probability[ok], np.asarray(truth, dtype=bool)[ok]
    names = ("balanced_accuracy", "auroc")
    if not yes.any() or yes.all():
        reason = "no question of one class was answered" if len(truth) else "the unit never fires in its top windows"
        return dict.fromkeys(names, Score.undefined(reason, int(ok.sum())))
    accuracy = (np.mean(p[yes] >= 0.5) + np.mean(p[~yes] < 0.5)) / 2
    difference = p[yes][:, None] - p[~yes][None]
    auroc = np.mean((difference > 0) + 0.5 * (difference == 0))
    return {name: Score(float(v), n=int(ok.sum())) for name, v in zip(names, (accuracy, auroc), strict=True)}
