"""What the projections of a moving stimulus hold: one row per ReLU site, as `results.json` documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from eval.result_json import measured, noted
from eval.results import Result, result
from eval.scores import Score

COLUMNS = ["site", "layer", "action", "action_sampled", "action_per_trace", "minimum_action_per_variance"]
COLUMNS += ["explained_coordinates", "explained_pixels", "trajectory_alpha", "refinement_slope", "predicted_slope"]


@result
class SiteProjections(Result):
    """One site on one trajectory. A site that does not move has `action` undefined, with the reason, and nothing else.

    action: closed form, total time 1; action_sampled: mean of the draws with its standard error. action_per_trace:
    action over the variance per unit, which does not depend on the scale of a site. minimum_action_per_variance: exact;
    `_sampled`: least of the draws. explained_coordinates, explained_pixels: median over projections of held-out R^2,
    with the central 95% *of projections* as `_range`. action_explained_rho: Spearman over projections of action per
    variance and explained coordinates. trajectory_alpha: exponent of the stimulus' own code. refinement_slope: d log
    action / d log frames, 0 for a differentiable code; predicted_slope: max(0, 3 - |trajectory_alpha|), the line of the
    bound 1 + 2/d at d = 1.
    """

    site: str
    layer: int
    width: int
    action: Score = measured(ci=None, n=None)
    action_sampled: float | None = noted(default=None, when_set=True)
    action_sampled_standard_error: float | None = noted(default=None, when_set=True)
    action_per_trace: float | None = noted(default=None, when_set=True)
    variance_per_unit: float | None = noted(default=None, when_set=True)
    minimum_action_per_variance: float | None = noted(default=None, when_set=True)
    minimum_action_per_variance_sampled: float | None = noted(default=None, when_set=True)
    explained_coordinates: float | None = noted(default=None, when_set=True)
    explained_coordinates_range: list[float] | None = noted(default=None, when_set=True)
    explained_pixels: float | None = noted(default=None, when_set=True)
    explained_pixels_range: list[float] | None = noted(default=None, when_set=True)
    action_explained_rho: float | None = noted(default=None, when_set=True)
    trajectory_alpha: Score | None = measured(default=None, when_set=True)
    refinement_slope: float | None = noted(default=None, when_set=True)
    refinement_frames: list[int] | None = noted(default=None, when_set=True)
    refinement_actions: list[float] | None = noted(default=None, when_set=True)
    predicted_slope: float | None = noted(default=None, when_set=True)

    @property
    def moves(self) -> bool:
        """Whether the code of the stimulus spans enough dimensions to be projected, and moves."""
        return bool(self.action.value)


@result
class Projections(Result):
    """Projections of a moving stimulus, site by site.

    sites: one row per ReLU site. arrays: by ``<site>/<array>`` (``drawn`` trajectories, ``actions``, ...); kept as
    arrays, not in `results.json`.
    """

    table: ClassVar[str] = "sites"
    columns: ClassVar[list[str]] = COLUMNS
    drawing: ClassVar[str] = "vision_codes.lenses.projections.figures:actions_figure"

    sites: tuple[SiteProjections, ...]
    arrays: Mapping[str, np.ndarray]
    stimulus: str = "dot"

    def drawn(self) -> dict[str, np.ndarray]:
        """The trajectories to draw, of the sites that move, by site in order of depth."""
        return {row.site: self.arrays[f"{row.site}/drawn"] for row in self.sites if row.moves}


@result
class Refinement(Result):
    """How the action grows with the frames: counts, actions, and the slope of log action on log frames."""

    slope: float
    frames: list[int]
    actions: list[float]


@result
class ProjectionsFile(Result):
    """`results.json` of the verb `projections`; stimulus: its name and what it was made with."""

    sites: tuple[SiteProjections, ...]
    stimulus: Mapping[str, Any]
