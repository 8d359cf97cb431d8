"""The best of several explanations, chosen by how well it predicts windows that no score is taken on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.explanation.drafts import joined
from eval.explanation.explainers import Explainer, Explanation
from eval.explanation.records import LEVELS, Book
from eval.explanation.scoring.scorers import document_sums, primary_score
from eval.explanation.simulators import Simulator, Task

HELD_IN_WINDOWS = 10


class BestOf:
    """Asks several explainers and keeps, unit for unit, the words whose simulation correlates best with the unit on
    the shared random windows of the calibrate documents, or of the explain documents where none were set aside.

    A tie, and words of which none can be scored, go to the first explainer.
    """

    def __init__(self, explainers: Sequence[Explainer], simulator: Simulator) -> None:
        self.explainers, self.simulator = list(explainers), simulator
        self.name = f"best of {len(self.explainers)}, {self.explainers[0].name}"

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]:
        rounds = [explainer.explain(book, units) for explainer in self.explainers]
        told = [list(dict.fromkeys(row)) for row in zip(*rounds, strict=True)]
        scores = iter(self._scores(book, [(unit, one) for unit, row in zip(units, told, strict=True) for one in row]))
        return [max(row, key=lambda _: next(scores)) for row in told]

    def _scores(self, book: Book, said: Sequence[tuple[int, Explanation]]) -> list[float]:
        """The held-in score of every explanation of a unit; -infinity where there is none."""
        split = "calibrate" if len(book.shared["calibrate"]) else "explain"
        records = {unit: book.random(unit, split, HELD_IN_WINDOWS) for unit, _ in said}
        tasks = [Task(words, one.tokens, one.ids) for unit, words in said for one in records[unit] if words.is_defined]
        simulations = iter(self.simulator.simulate(tasks))
        out = []
        for unit, words in said:
            if not words.is_defined:
                out.append(-np.inf)
                continue
            predicted = joined([next(simulations).values for _ in records[unit]])
            truth = joined([LEVELS * one.values / max(float(book.scale[unit]), 1e-300) for one in records[unit]])
            sums, _ = document_sums(truth, predicted, np.zeros(len(truth), dtype=int))
            value = primary_score(sums).value
            out.append(-np.inf if value is None else value)
        return out
