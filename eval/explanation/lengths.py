"""Score against description length: the same unit explained in one bare word, in more, and by the whole token table.

Every length is a budget in bits (`rules.bits.ladder`), the same for every kind of unit. The whole table of token means
is no explanation that anyone reads: it stands at the end as an upper bound for token lists. Scored on the shared random
windows, from the printed text alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.explanation.drafts import Draft, joined
from eval.explanation.explainers import Explanation
from eval.explanation.records import LEVELS, Book
from eval.explanation.results import DocumentSums, LengthScore, RivalScore
from eval.explanation.rules.bits import WHOLE_TABLE, table_bits
from eval.explanation.scoring.scorers import document_sums, primary_score
from eval.explanation.simulators import RuleSimulator, Simulator, Task
from eval.scores import Score


def length_scores(
    draft: Draft, book: Book, unit: int, told: dict[str, tuple[float, Explanation]], simulator: Simulator
) -> tuple[LengthScore, ...]:
    """The score of each explanation (by the name of its length: budget and words), and of the whole table."""
    records = draft.records["random"]
    out = []
    for name, (budget, explanation) in told.items():
        if not explanation.is_defined:
            out.append(_scored(draft, name, budget, None, explanation.reason, np.zeros(0)))
            continue
        out.append(_scored(draft, name, budget, explanation.bits, None, _predicted(draft, explanation, simulator)))
    bits = table_bits(book.windows.vocabulary_size)
    predicted = draft.problem or joined([table_prediction(book, unit, record.ids) for record in records])
    problem = predicted if isinstance(predicted, str) else None
    values = np.zeros(0) if isinstance(predicted, str) else predicted
    out.append(_scored(draft, WHOLE_TABLE, bits, None if problem else bits, problem, values))
    return tuple(out)


def table_prediction(book: Book, unit: int, tokens: Sequence[int]) -> np.ndarray:
    """What the whole table of token means predicts, on 0..10 (not rounded to levels)."""
    scale = max(float(book.scale[unit]), 1e-300)
    return LEVELS * book.table(unit).predict(np.array(tokens)) / scale


def _scored(
    draft: Draft, name: str, budget: float, bits: float | None, problem: str | None, predicted: np.ndarray
) -> LengthScore:
    if problem is not None:
        predicted = np.full(len(draft.truth["random"]), np.nan)
    sums, documents = document_sums(draft.truth["random"], predicted, draft.document["random"])
    score = Score.undefined(problem, 0) if problem is not None else primary_score(sums)
    return LengthScore(name, budget, bits, score, DocumentSums(sums, documents))


def rival_score(draft: Draft, explanation: Explanation) -> RivalScore:
    """The primary score of another printed rule on the same windows."""
    problem = draft.problem or explanation.reason
    if problem:
        return RivalScore(explanation, Score.undefined(problem, 0))
    predicted = _predicted(draft, explanation, RuleSimulator())
    sums, _ = document_sums(draft.truth["random"], predicted, draft.document["random"])
    return RivalScore(explanation, primary_score(sums))


def _predicted(draft: Draft, explanation: Explanation, simulator: Simulator) -> np.ndarray:
    """What is predicted of the random windows from the words alone."""
    tasks = [Task(explanation, record.tokens, record.ids) for record in draft.records["random"]]
    return joined([simulation.values for simulation in simulator.simulate(tasks)])
