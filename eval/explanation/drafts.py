"""A unit on its way from windows to scores: truth and prediction token by token, and the windows a page shows.

Axes: ``token`` (the kept tokens of all windows of a mix, in order).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.explanation.explainers import Explanation
from eval.explanation.records import LEVELS, Record
from eval.explanation.results import ShownWindow
from eval.explanation.scoring.calibration import fit_calibration
from eval.explanation.simulators import Simulation
from eval.explanation.tokens import visible
from eval.explanation.units import Unit
from eval.scores import Score

SHOWN_WINDOWS = 4  # of each mix
_SCALE = "0123456789a"  # one character per level; "-" where there is no prediction


@dataclass(eq=False)
class Draft:
    """One unit on its way to a `UnitResult`: its windows, what was simulated on them, and truth and prediction by mix.

    truth, predicted, document: mix -> [token].
    """

    unit: Unit
    condition: str
    explanation: Explanation
    scale: float
    sign: int
    problem: str | None
    records: dict[str, list[Record]]
    simulated: dict[str, list[Simulation]] = field(default_factory=dict)
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    predicted: dict[str, np.ndarray] = field(default_factory=dict)
    document: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0

    @property
    def undefined(self) -> str | None:
        """Why the unit has no score, where that is known before its simulations are looked at."""
        return self.problem or (None if self.explanation.is_defined else self.explanation.reason)

    def lay_out(self, calibration: str) -> None:
        """Truth, prediction and document of every token, by mix."""
        scale = self.scale if self.scale > 0 else 1.0
        for mix, chosen in self.records.items():
            self.truth[mix] = joined([LEVELS * r.values / scale for r in chosen])
            self.predicted[mix] = joined([s.values for s in self.simulated[mix]])
            self.document[mix] = joined([np.full(len(r.tokens), r.document) for r in chosen]).astype(int)
        if calibration != "none":
            calibrate, note = fit_calibration(calibration, self.predicted["calibrate"], self.truth["calibrate"])
            self.predicted = {mix: calibrate(values) for mix, values in self.predicted.items()}
            if note:
                self.notes[note] = 1
        for table in (self.truth, self.predicted, self.document):
            table["top_and_random"] = np.concatenate([table["top"], table["random"]])


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The parts in a row; none is an empty array."""
    return np.concatenate(parts) if parts else np.zeros(0)


def level_string(values: np.ndarray) -> str:
    """Levels 0..10 as one character each, ``-`` for NaN."""
    clipped = np.clip(np.nan_to_num(values), 0, LEVELS)
    return "".join("-" if np.isnan(v) else _SCALE[int(c)] for v, c in zip(values, clipped, strict=True))


def shown_windows(draft: Draft) -> Iterator[ShownWindow]:
    """The first windows of each mix, as a page shows them."""
    scale = draft.scale if draft.scale > 0 else 1.0
    for mix in ("top", "random"):
        pairs = zip(draft.records[mix][:SHOWN_WINDOWS], draft.simulated[mix], strict=False)
        for record, simulation in pairs:
            words = tuple(visible(token) for token in record.tokens)
            truth = level_string(LEVELS * record.values / scale + 1e-9)
            yield ShownWindow(mix, record.window, words, truth, level_string(simulation.values))


def shuffled_explanations(drafts: Sequence[Draft]) -> list[Score]:
    """The null: how well do *other* units' explanations (same kind and layer) predict this unit? Mean correlation over
    them, on the shared random windows, where their simulations are there already."""
    groups: dict[tuple[str, int], list[Draft]] = {}
    for draft in drafts:
        groups.setdefault((draft.unit.family, draft.unit.layer), []).append(draft)
    out = []
    for draft in drafts:
        members = groups[draft.unit.family, draft.unit.layer]
        truth = draft.truth["random"]
        values = [_correlation(truth, other.predicted["random"]) for other in members if other is not draft]
        values = [value for value in values if np.isfinite(value)]
        none = Score.undefined("no other unit of this kind and layer has a prediction")
        out.append(Score(float(np.mean(values)), n=len(values)) if values else none)
    return out


def _correlation(a: np.ndarray, p: np.ndarray) -> float:
    """Pearson correlation where both are there; 0 for a constant prediction of a truth that varies, as for the unit's
    own explanation."""
    ok = np.isfinite(a) & np.isfinite(p)
    a, p = a[ok], p[ok]
    if len(a) < 2 or np.ptp(a) == 0:
        return float("nan")
    if np.ptp(p) == 0:
        return 0.0
    a, p = a - a.mean(), p - p.mean()
    return float(a @ p / np.sqrt((a @ a) * (p @ p)))
