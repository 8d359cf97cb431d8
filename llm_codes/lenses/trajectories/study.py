"""How smooth is the code along a text? Action of random projections by depth, and the smoothest directions.

Time is the token. One pass adds up two matrices per site (`llm_codes.lenses.trajectories.moments`); the closed form, a
thousand sampled projections and the exact minimum all follow from them [MK eq. 4, corrected in
`eval.measures.projections.streamed_action`].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.errors import UserError
from eval.measures.projections import projection, streamed_action
from eval.measures.projections.held_out_action import held_out_minimum_action
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.scores import Score
from llm_codes.configs.inputs import HarvestOptions, lens_options
from llm_codes.configs.trajectories import TrajectoriesOptions
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint, harvest
from llm_codes.lenses.trajectories.moments import SiteMoments, TrajectoryMoments
from llm_codes.lenses.trajectories.rows import SiteTrajectory, Trajectories
from llm_codes.models import load_model
from llm_codes.sites import Site, resolve_sites

NO_STEP = "no window has two neighbouring positions that count; read longer texts or exclude fewer positions"

ONE_PROJECTION = "one projection has no spread; draw more with --projections"


def trajectories(
    model: Any,
    corpus: Corpus,
    options: TrajectoriesOptions | None = None,
    *,
    harvest_options: HarvestOptions | None = None,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    **changes: Any,
) -> Trajectories:
    """Action of the code along the windows of a corpus, in closed form and over sampled projections, site by site.

        trajectories(model, corpus, sites="resid_post", projections=1000)

    Args:
        model: a `Model`, a name, or an existing bridge. corpus: its windows are the trajectories.
        options, harvest_options: where, how many projections; how the text is walked. Defaults: those of the command.
        changes: single options by name, of either. seed: of the projections. checkpoint: where a killed pass continues.

    Raises:
        UserError: an unknown option or site, with the nearest; see `harvest`.
    """
    asked, walk = lens_options(TrajectoriesOptions, options, harvest_options, changes)
    model = load_model(model)
    places = resolve_sites(model, asked.sites, asked.layers)
    consumer = TrajectoryMoments(places)
    harvest(model, corpus, [consumer], walk, label="trajectories", checkpoint=checkpoint)
    rows, smoothest = [], {}
    for place in places:
        row, directions = describe_site(place, consumer.moments[place.hook], asked.projections, seed)
        rows.append(row)
        if directions is not None:
            smoothest[place.hook] = directions
    return Trajectories(tuple(rows), smoothest)


def describe_site(
    site: Site, moments: SiteMoments, n_projections: int, seed: int
) -> tuple[SiteTrajectory, np.ndarray | None]:
    """One row: mean action of a window, closed form and sampled; per variance; exact minimum; share of step 0 -> 1."""
    n_windows = max(1, len(moments.windows))
    where: dict[str, Any] = {
        "site": site.name,
        "hook": site.hook,
        "kind": site.kind,
        "layer": site.layer,
        "width": site.width,
    }
    where |= {"n_steps": moments.steps, "n_windows": n_windows, "n_projections": n_projections}
    differences, covariance = moments.differences.numpy(), moments.covariance_sum()
    over_trace = action_over_trace(moments, covariance)
    if not moments.steps:
        undefined: dict[str, Any] = dict.fromkeys(("action", "action_sampled", "action_sampled_standard_error"))
        undefined |= {"action_reason": NO_STEP, "minimum_action_reason": NO_STEP}
        undefined["minimum_action_held_out"] = Score.undefined(NO_STEP, moments.n_documents)
        return SiteTrajectory(**where, **undefined, action_over_trace=over_trace), None
    draws = projection.random_projections(site.width, n_projections, seed=seed)
    sampled = streamed_action.sampled_actions(differences, draws) / n_windows
    smoothest, directions = _smoothest(differences, covariance)
    row = SiteTrajectory(
        **where,
        **smoothest,
        action=streamed_action.expected_action(differences) / n_windows,
        action_sampled=float(sampled.mean()),
        action_sampled_standard_error=_standard_error(sampled),
        action_over_trace=over_trace,
        minimum_action_held_out=held_out_minimum_action(moments.groups(), moments.n_documents),
        action_sampled_reason=None if n_projections > 1 else ONE_PROJECTION,
        first_step_share=_first_step_share(moments),
        best_sampled=float(streamed_action.normalised_actions(differences, covariance, draws).min()),
    )
    return row, directions


def _standard_error(sampled: np.ndarray) -> float | None:
    return float(sampled.std(ddof=1) / np.sqrt(len(sampled))) if len(sampled) > 1 else None


def _first_step_share(moments: SiteMoments) -> float | None:
    shares = np.array([(first, every) for _, _, _, first, every, _ in moments.windows])
    return float(shares[:, 0].sum() / shares[:, 1].sum()) if shares[:, 1].sum() > 0 else None


def _smoothest(differences: np.ndarray, covariance: np.ndarray) -> tuple[dict[str, Any], np.ndarray | None]:
    """Fields of the exact minimum, and its directions; `None` where too few directions vary."""
    try:
        directions, exact = streamed_action.minimum_action_directions(differences, covariance)
    except UserError as error:
        return {"minimum_action": None, "minimum_action_reason": str(error)}, None
    return {"minimum_action": float(exact[0]), "minimum_actions": exact.tolist()}, directions


def action_over_trace(moments: SiteMoments, covariance: np.ndarray) -> Score:
    """Action per variance, sum ||dA||^2 / (2 steps tr Cov), with an interval over documents. White noise gives 1."""
    frames = max(1, moments.frames)
    mean_square = float((moments.first / frames).square().sum())
    if np.trace(covariance) <= 0 or not moments.steps:
        return Score.undefined("the activations do not vary")
    table: dict[int, np.ndarray] = {}
    for document, steps, square, _, _, count in moments.windows:
        frames_here = count + 1
        entry = np.array([steps / 2, (square - frames_here * mean_square) * count / frames_here])
        table[document] = table.get(document, np.zeros(2)) + entry
    sums = np.array(list(table.values()))
    return bootstrap_ratio(sums[:, 0], sums[:, 1])
