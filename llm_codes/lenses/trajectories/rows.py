"""Results of the trajectories: one row per site, and the smoothest directions."""

from __future__ import annotations

import numpy as np

from eval.claims import Claim
from eval.result_json import measured, noted
from eval.results import Result, result
from eval.scores import Score

COLUMNS = (
    "site",
    "action",
    "action_sampled",
    "action_over_trace",
    "minimum_action",
    "minimum_action_held_out",
    "minimum_action_held_out_ci",
    "best_sampled",
    "first_step_share",
)


@result
class SiteTrajectory(Result):
    """How smooth the code of one site is along the text.

    n_steps, n_windows: behind it. action: mean over windows, closed form, for three-dimensional random projections;
    action_sampled: over `n_projections` drawn ones, with its standard error (`None` for a single one,
    `action_sampled_reason`).
    action_over_trace: action per variance with an interval over documents; white noise gives 1, lower is smoother.
    first_step_share: share that the step from position 0 to 1 would hold, were position 0 kept.
    minimum_action, minimum_actions: exact least action per variance of any projection; best_sampled: of those drawn.
    minimum_action_held_out: of the direction that is smoothest on one half of the documents, on the other half, with
    an interval over documents.
    Undefined where no step counts (`action_reason`), or too few directions vary (`minimum_action_reason`).
    """

    site: str
    hook: str
    kind: str
    layer: int
    width: int
    n_steps: int
    n_windows: int
    action: float | None
    action_sampled: float | None
    action_sampled_standard_error: float | None
    n_projections: int
    action_over_trace: Score = measured()
    first_step_share: float | None = None
    best_sampled: float | None = None
    minimum_action: float | None = None
    minimum_action_held_out: Score = measured(default=Score.undefined("no step is measured"))
    minimum_actions: list[float] | None = noted(default=None, when_set=True)
    minimum_action_reason: str | None = noted(default=None, when_set=True)
    action_reason: str | None = noted(default=None, when_set=True)
    action_sampled_reason: str | None = noted(default=None, when_set=True)


@result
class Trajectories(Result):
    """A row per site, and the smoothest directions by hook name [width, dimension]."""

    table = "sites"
    columns = COLUMNS
    drawing = "llm_codes.lenses.trajectories.figures:plot"

    sites: tuple[SiteTrajectory, ...]
    smoothest: dict[str, np.ndarray]


@result
class TrajectoriesResults(Result):
    """`results.json` of `trajectories`: the model's sites, the untrained control's, and the statement judged."""

    table = "sites"
    columns = COLUMNS

    sites: tuple[SiteTrajectory, ...]
    control_sites: tuple[SiteTrajectory, ...] | None = None
    claims: tuple[Claim, ...] = ()
