"""The whole of what the polytope lens found: `results.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.claims import Claim
from eval.result_json import noted
from eval.results import Result, result
from llm_codes.lenses.polytopes.cluster_rows import BothClusterings, CodeSummary
from llm_codes.lenses.polytopes.control import Measured
from llm_codes.lenses.polytopes.meaning import Meaning, MeaningLess
from llm_codes.lenses.polytopes.panel_rows import FlowRow, InterventionRow, NeuronRow
from llm_codes.lenses.polytopes.rows import DensityRow, DictionaryRow, Directions, Maps, RayStep


@result
class Prediction(Result):
    """A statement of the paper as the table of `predictions` has it."""

    prediction: str
    statement: str
    verdict: str
    number: float | None
    ci: Sequence[float] | None
    note: str


@result
class Polytopes(Result):
    """`results.json` of the polytope lens. control: the untrained network's numbers, behind the verdicts. meaning: how
    much less mixed than random tokens clusters and directions are; meaning_less_controls: minus their controls."""

    clusters: BothClusterings
    density: tuple[DensityRow, ...]
    directions: Directions
    rays: Mapping[str, tuple[RayStep, ...]]
    maps: Maps
    dictionary: tuple[DictionaryRow, ...]
    code: CodeSummary
    control: Measured | None = noted(default=None, when_set=True)
    meaning: tuple[Meaning, ...] = ()
    meaning_less_controls: tuple[MeaningLess, ...] = ()
    flow: tuple[FlowRow, ...] = ()
    neurons: tuple[NeuronRow, ...] = ()
    interventions: tuple[InterventionRow, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    claims: tuple[Claim, ...] = ()

    table = "predictions"
    columns = ("prediction", "verdict", "number", "ci", "statement")
