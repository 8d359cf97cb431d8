"""How smooth is the code along a text? Action of random projections by depth, and the smoothest directions.

Time is the token. One pass adds up two matrices per site (`trajectory_moments`); the closed form, a thousand sampled
projections and the exact minimum all follow from them [MK eq. 4, corrected in
`eval.measures.projections.streamed_action`].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.errors import UserError
from eval.measures.projections import projection, streamed_action
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.scores import Score
from llm_codes.corpus import Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.trajectories.moments import SiteMoments, TrajectoryMoments
from llm_codes.models import load_model
from llm_codes.sites import Site, resolve_sites

if TYPE_CHECKING:
    pass

COLUMNS = [
    "site",
    "action",
    "action_sampled",
    "action_over_trace",
    "minimum_action",
    "best_sampled",
    "first_step_share",
]


@dataclass(frozen=True)
class Trajectories:
    """Rows of `results.json` (one per site) and the smoothest directions by hook name [width, dimension]."""

    rows: list[dict[str, Any]]
    smoothest: dict[str, np.ndarray]


def trajectories(
    model: Any,
    corpus: Corpus,
    sites: Sequence[str] = ("resid_post",),
    *,
    layers: str | Sequence[int] | None = None,
    n_projections: int = 1000,
    seed: int = 0,
    **harvest_options: Any,
) -> Trajectories:
    """Action of the code along the windows of a corpus, in closed form and over sampled projections, site by site.

    Args:
        model: a `Model`, a name, or an existing bridge. corpus: windows are the trajectories.
        n_projections: random projections to three dimensions per site.
        harvest_options: `batch_size`, `exclude_positions`, `max_memory_gb`, `checkpoint`.
    """
    model = load_model(model)
    places = resolve_sites(model, sites, layers)
    consumer = TrajectoryMoments(places)
    harvest(model, corpus, [consumer], label="trajectories", **harvest_options)
    rows, smoothest = [], {}
    for place in places:
        row, directions = describe_site(place, consumer.moments[place.hook], n_projections, seed)
        rows.append(row)
        if directions is not None:
            smoothest[place.hook] = directions
    return Trajectories(rows, smoothest)


def describe_site(
    site: Site, moments: SiteMoments, n_projections: int, seed: int
) -> tuple[dict[str, Any], np.ndarray | None]:
    """One row: mean action of a window, closed form and sampled; per variance; exact minimum; share of step 0 -> 1."""
    n_windows = max(1, len(moments.windows))
    differences, covariance = moments.differences.numpy(), moments.covariance_sum()
    draws = projection.random_projections(site.width, n_projections, seed=seed)
    sampled = streamed_action.sampled_actions(differences, draws) / n_windows
    error = float(sampled.std(ddof=1) / np.sqrt(n_projections))
    row: dict[str, Any] = {"site": site.name, "hook": site.hook, "kind": site.kind, "layer": site.layer}
    row |= {"width": site.width, "n_steps": moments.steps, "n_windows": n_windows}
    row["action"] = streamed_action.expected_action(differences) / n_windows
    row |= {"action_sampled": float(sampled.mean()), "action_sampled_standard_error": error}
    row |= {"n_projections": n_projections}
    row |= action_over_trace(moments, covariance).fields("action_over_trace")
    shares = np.array([(first, every) for _, _, _, first, every, _ in moments.windows])
    row["first_step_share"] = float(shares[:, 0].sum() / shares[:, 1].sum()) if shares[:, 1].sum() > 0 else None
    ratios = streamed_action.normalised_actions(differences, covariance, draws)
    row["best_sampled"] = float(ratios.min())
    try:
        directions, exact = streamed_action.minimum_action_directions(differences, covariance)
    except UserError as error_:
        return row | {"minimum_action": None, "minimum_action_reason": str(error_)}, None
    return row | {"minimum_action": float(exact[0]), "minimum_actions": exact.tolist()}, directions


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
