"""Questions to a judge about many units, all in one call, and the scores of what it answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.explanation.drafts import Draft
from eval.explanation.records import Book
from eval.explanation.results import TaskScores
from eval.explanation.scoring.classification import Judge, classification_scores, questions


def judged(
    drafts: Sequence[Draft],
    units: Sequence[int],
    book: Book,
    judge: Judge | None,
    tasks: Sequence[str],
    count: int,
    seed: int,
) -> list[dict[str, TaskScores]]:
    """Scores by task of every unit; none where there is no judge. count: questions of each class and task.

    A question without a usable answer is left out and noted on the draft.
    """
    if judge is None:
        return [{} for _ in drafts]
    asked, owner = [], []
    for place, (unit, draft) in enumerate(zip(units, drafts, strict=True)):
        for task in tasks:
            if draft.explanation.is_defined:
                found = questions(book, unit, draft.explanation, task, count, seed)
                asked += found
                owner += [(place, task)] * len(found)
    probability = judge.judge(asked)
    out: list[dict[str, TaskScores]] = []
    for place in range(len(drafts)):
        scored = {}
        for task in tasks:
            rows = [row for row, who in enumerate(owner) if who == (place, task)]
            truth = np.array([asked[row].truth for row in rows], dtype=bool)
            scored[task] = TaskScores(**classification_scores(probability[rows], truth))
        unanswered = sum(not np.isfinite(probability[row]) for row, who in enumerate(owner) if who[0] == place)
        if unanswered:
            drafts[place].notes["question without a usable answer"] = unanswered
            drafts[place].unanswered = unanswered
        out.append(scored)
    return out
