"""What an explanation run found, with types: scores of a unit, means by layer, differences of kinds, and all of it.

Axes: ``unit``, ``document``, ``statistic`` (the sums of `scorers`). The JSON keys are those documented for
``results.json``, ``scores.jsonl`` and the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

import numpy as np
from jaxtyping import Float, Int

from eval.claims import Claim
from eval.explanation.comparison.deciding import Decision
from eval.explanation.explainers import Explanation
from eval.explanation.scoring.scorers import CONSTANT
from eval.explanation.units import Unit
from eval.result_json import measured, noted
from eval.results import Result, result
from eval.scores import Score

PRIMARY = ("random", "correlation")
WHOLE_TABLE = "whole_token_table"
"""The baseline that is an upper bound for token lists."""


def is_constant(score: Score) -> bool:
    """Whether a score of 0 stands for an explanation that was given and predicts one value everywhere."""
    return score.interval_reason == CONSTANT


@result
class PooledScores(Result):
    """The scores of one unit on one mix of windows, pooled over tokens; see `scorers` for ranges and formulas."""

    correlation: Score
    r_squared_uncentred: Score
    r_squared: Score
    absolute_deviation_explained: Score

    def __getitem__(self, name: str) -> Score:
        return getattr(self, name)


@result
class TaskScores(Result):
    """Detection, fuzzing, intruder, embedding: both 0 to 1, chance 0.5."""

    balanced_accuracy: Score
    auroc: Score

    def __getitem__(self, name: str) -> Score:
        return getattr(self, name)


@result
class ShownWindow(Result):
    """A window as the page shows it: levels 0..10 as one character a token (``a`` is 10, ``-`` no prediction)."""

    mix: str
    window: int
    tokens: tuple[str, ...]
    truth: str
    predicted: str


@result
class DocumentSums(Result):
    """The sums behind every score, by document: what the statistics resample."""

    sums: Float[np.ndarray, "document statistic"]
    documents: Int[np.ndarray, " document"]


@result
class RivalScore(Result):
    """Another explainer's explanation of a unit at the same budget, and its primary score."""

    explanation: Explanation
    score: Score


@result
class LengthScore(Result):
    """The primary score of an explanation of one length. length: its name; budget: what it may cost in bits; bits: what
    it costs."""

    length: str
    budget: float
    bits: float | None
    score: Score
    sums: DocumentSums


@result
class UnitResult(Result):
    """Everything about one unit in one condition.

    scores, baselines, sums: by mix of windows (baselines: by name first). null: mean correlation with the *other*
    units' predictions. asked: tokens on the primary windows for which a prediction was wanted (0 for a unit that is
    silent on the explain documents); missing: predictions wanted and not there, on all windows, and unanswered
    questions. unpredicted: those of them on the primary windows. notes: survived faults and how often.
    bits: description length of the explanation. lengths: scores at the lengths of `rules.bits.ladder`. rivals: other
    explainers at the same budget, by name.
    outside: mean probability on answers that are no number 0..10.
    """

    unit: Unit
    condition: str
    explanation: Explanation
    scale: float
    sign: int
    scores: Mapping[str, PooledScores]
    sums: Mapping[str, DocumentSums]
    baselines: Mapping[str, Mapping[str, PooledScores]]
    tasks: Mapping[str, TaskScores]
    null: Score
    shown: tuple[ShownWindow, ...]
    histogram: tuple[int, ...]
    outside: float | None
    asked: int
    unpredicted: int
    missing: int
    notes: Mapping[str, int]
    bits: float | None = None
    lengths: tuple[LengthScore, ...] = ()
    rivals: Mapping[str, RivalScore] = field(default_factory=dict)

    @property
    def upper_bound(self) -> Score:
        """The primary score of the whole token table: an upper bound for token lists, not an explanation."""
        found = self.baselines.get(WHOLE_TABLE)
        return Score.undefined("not computed") if found is None else found[PRIMARY[0]][PRIMARY[1]]

    @property
    def primary(self) -> Score:
        """The score that is compared: correlation on the shared random windows."""
        return self.scores[PRIMARY[0]][PRIMARY[1]]

    @property
    def coverage(self) -> float | None:
        """Share of the wanted predictions that are there, on the primary windows; ``None`` where none was wanted."""
        return 1 - self.unpredicted / self.asked if self.asked else None

    @property
    def label(self) -> str:
        """The kind as it stands in tables: ``neuron``, ``neuron (shuffled)``, ``sae:DIR`` ..."""
        return self.unit.label(self.condition)

    def row(self) -> UnitRow:
        """Its line of ``scores.jsonl``."""
        return UnitRow(
            unit=self.unit.name,
            kind=self.label,
            layer=self.unit.layer,
            index=self.unit.index,
            site=self.unit.site,
            source=self.unit.source,
            content=self.unit.content,
            condition=self.condition,
            sign=self.sign,
            scale=self.scale,
            explanation=self.explanation.text,
            explanation_reason=self.explanation.reason,
            scores=self.scores,
            baselines=self.baselines,
            tasks=self.tasks,
            other_units_explanations=self.null,
            mass_outside_0_to_10=self.outside,
            coverage=self.coverage,
            missing_predictions=self.missing,
            notes=self.notes,
            bits=self.bits,
            upper_bound=self.upper_bound,
            lengths={one.length: one.score for one in self.lengths},
            rivals=self.rivals,
        )


@result
class UnitRow(Result):
    """One line of ``scores.jsonl``: the unit, its words, every score with its interval or reason."""

    unit: str
    kind: str
    layer: int
    index: int
    site: str
    source: str
    content: str
    condition: str
    sign: int
    scale: float
    explanation: str
    explanation_reason: str | None
    scores: Mapping[str, PooledScores]
    baselines: Mapping[str, Mapping[str, PooledScores]]
    tasks: Mapping[str, TaskScores]
    other_units_explanations: Score
    mass_outside_0_to_10: float | None
    coverage: float | None
    missing_predictions: int
    notes: Mapping[str, int]
    bits: float | None
    upper_bound: Score
    lengths: Mapping[str, Score]
    rivals: Mapping[str, RivalScore]


@result
class LayerMean(Result):
    """The mean of one score over the units of a kind in a layer, bootstrap-t interval over units; ``n`` with a score.

    undefined: units without one. constant: explanations that predict one value everywhere, counted as 0;
    mean_of_others: the mean without them. coverage: mean share of the wanted predictions that are there.
    bits: mean description length. upper_bound: mean primary score of the whole token table of the same units.
    """

    kind: str
    layer: int
    undefined: int
    mean: Score = measured(ci="ci", reason="reason", n="n")
    coverage: float | None = None
    constant: int = 0
    mean_of_others: float | None = noted(default=None, when_set=True)
    bits: float | None = noted(default=None, when_set=True)
    upper_bound: float | None = noted(default=None, when_set=True)


@result
class ScoreMean(Result):
    """`LayerMean` of any score. source: simulation, a baseline, a null or a task. mix: of windows."""

    by_layer: LayerMean = noted(inline=True)
    source: str = ""
    mix: str = ""
    score: str = ""


@result
class KindDifference(Result):
    """Mean score of kind ``a`` minus that of kind ``b`` in a layer; p permutes the labels, Holm over layers."""

    layer: int
    a: str
    b: str
    difference: Score = measured(ci="ci", reason="reason", n="n")
    p: float | None = None
    p_uncorrected: float | None = None
    coverage_a: float | None = None
    coverage_b: float | None = None


@result
class TaskDifference(Result):
    """`KindDifference` of a scorer's AUROC: interval over units alone, p of Welch's t under permuted labels, Holm over
    the layers and scorers of a pair. task: the scorer."""

    task: str
    difference: KindDifference = noted(inline=True)


@result
class LengthMean(Result):
    """`LayerMean` at one length. budget: in bits."""

    length: str
    budget: float
    by_layer: LayerMean = noted(inline=True)


@result
class LengthDifference(Result):
    """`KindDifference` at one length."""

    length: str
    difference: KindDifference = noted(inline=True)


@result
class LengthClaim(Result):
    """A statement judged at one length."""

    length: str
    claim: Claim = noted(inline=True)


@result
class RivalMean(Result):
    """Mean of the explainer's score minus a rival's, unit for unit, at the same budget; interval over units, p from
    flipping signs, Holm over the layers of a kind and rival. mean, rival: the two means."""

    rival: str
    kind: str
    layer: int
    mean: float | None
    rival_mean: float | None
    difference: Score = measured(ci="ci", reason="reason", n="n")
    p: float | None = None


@result
class UnitSource(Result):
    """Where units of a kind were read: how many, at which site; source and content of a dictionary.

    passed_over: silent units that were drawn before so many that fire were found.
    """

    kind: str
    site: str
    hook: str
    n: int
    source: str = ""
    content: str = ""
    passed_over: int = 0


@result
class ExplainedUnit(Result):
    """A unit that somebody chose: its score, beside the same readout on shuffled windows and in the untrained model."""

    unit: str
    score: Score
    shuffled: float | None
    untrained: float | None
    explanation: str
    explanation_reason: str | None = noted(default=None, when_set=True)


@result
class Explained(Result):
    """An explanation run: ``results.json``."""

    setting: str
    by_layer: tuple[LayerMean, ...]
    paired: tuple[KindDifference, ...]
    null: tuple[LayerMean, ...]
    baselines: Mapping[str, tuple[LayerMean, ...]]
    by_score: tuple[ScoreMean, ...]
    claims: tuple[Claim, ...]
    undefined: Mapping[str, int]
    notes: Mapping[str, int]
    missing_predictions: int
    coverage: float | None
    mean_mass_outside_0_to_10: float | None
    primary: Mapping[str, str]
    leakage: Mapping[str, int]
    cost: Mapping[str, float]
    skipped_controls: Mapping[str, str]
    readouts: tuple[UnitSource, ...]

    by_length: tuple[LengthMean, ...] = ()
    paired_by_length: tuple[LengthDifference, ...] = ()
    claims_by_length: tuple[LengthClaim, ...] = ()
    rivals: tuple[RivalMean, ...] = ()
    decisions: tuple[Decision, ...] = ()
    paired_by_task: tuple[TaskDifference, ...] = ()

    table = "by_layer"
    columns = ("kind", "layer", "n", "undefined", "coverage", "bits", "mean", "ci", "upper_bound")


@result
class ExplainedUnits(Explained):
    """An explanation run on units that somebody chose: one row each."""

    units: tuple[ExplainedUnit, ...] = ()

    table = "units"
    columns = ("unit", "score", "score_ci", "shuffled", "untrained", "explanation")
