"""Is the code of a moving stimulus smooth? Random projections of a trajectory at every layer [MK Fig. 4, 6].

For each site: the action of random projections in closed form and sampled, the exact minimum beside it, how the action
grows as frames are added, and how much of the stimulus a projection lets one read.

Axis glossary: ``frame`` time (closed path: the first frame follows the last), ``width`` units, ``draw`` random
projections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from eval.measures.projections.projection import (
    action,
    action_per_variance,
    expected_action,
    minimum_action,
    random_projections,
    refinement_slope,
)
from eval.options import chosen
from eval.scores import Score
from vision_codes.configs.projections import ProjectionsOptions, StimulusOptions
from vision_codes.harvest import Site, activations, sites
from vision_codes.lenses.projections.readout import explained_variances
from vision_codes.lenses.projections.results import Projections, Refinement, SiteProjections
from vision_codes.lenses.projections.trajectory import Trajectory, trajectory_alpha
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.stimuli import Stimulus, make_stimulus

MAXIMUM_BYTES = 2**30
"""Sites are visited in groups whose frames fit in this much memory."""
Arrays = dict[str, np.ndarray]


def project_site(
    site: Site, frames: Float[np.ndarray, "frame width"], stimulus: Stimulus, n_projections: int = 1000, seed: int = 0
) -> tuple[SiteProjections, Arrays]:
    """Everything about one site on one trajectory: its row, and arrays for figures.

    A site that does not move has an undefined action, with the reason, and no arrays.
    """
    trajectory = Trajectory.of(frames)
    if trajectory.rank < 3:
        reason = f"the activations of the stimulus span {trajectory.rank} dimensions; a projection needs 3"
        return SiteProjections(site.name, site.layer, site.width, Score.undefined(reason)), {}
    dt = 1 / len(frames)
    draws = random_projections(trajectory.rank, n_projections, seed=seed)
    paths = trajectory.closed @ draws
    actions = action(paths, dt)
    ratios = action_per_variance(trajectory.closed, draws, dt)
    coordinates = explained_variances(paths[:, :-1], stimulus.coordinates)
    pixels = explained_variances(paths[:, :-1], stimulus.pixels)
    variance = float(trajectory.eigenvalues().sum())
    expected = float(expected_action(trajectory.closed, dt))
    rho: Any = spearmanr(ratios, coordinates)
    row = SiteProjections(
        site.name,
        site.layer,
        site.width,
        action=Score(expected),
        action_sampled=float(actions.mean()),
        action_sampled_standard_error=float(actions.std(ddof=1) / np.sqrt(len(actions))),
        action_per_trace=expected / variance * trajectory.width,
        variance_per_unit=variance / trajectory.width,
        minimum_action_per_variance=float(minimum_action(trajectory.closed, dt).action_per_variance.mean()),
        minimum_action_per_variance_sampled=float(ratios.min()),
        explained_coordinates=float(np.median(coordinates)),
        explained_coordinates_range=_central(coordinates),
        explained_pixels=float(np.median(pixels)),
        explained_pixels_range=_central(pixels),
        action_explained_rho=float(rho.statistic),
        trajectory_alpha=trajectory_alpha(trajectory),
    )
    arrays = {"drawn": paths[:4], "action_per_variance": ratios, "explained": coordinates, "actions": actions}
    return row, arrays


def _central(values: np.ndarray) -> list[float]:
    """The central 95%."""
    return np.percentile(values, [2.5, 97.5]).tolist()


def projections(
    model: ResNetVAE,
    stimulus: StimulusOptions | str = "dot",
    options: ProjectionsOptions | None = None,
    *,
    frames: int | None = None,
    seed: int = 0,
    **changes: Any,
) -> Projections:
    """How smooth is the code of a moving stimulus, site by site?

    Args:
        stimulus: what moves; ``"dot"`` or ``"grating"`` for one with default settings. frames: of the trajectory.
        options: sites, draws, refinements (frame counts for the growth of the action, each a divisor of the largest);
            ``changes`` are single ones by name (``projections=100``). seed: of the projections.

    Returns:
        ``Projections``; a site that does not move is undefined, with the reason.

    Raises:
        UserError: an unknown site or stimulus, refinements that do not divide the largest, fewer than 2 projections.
    """
    options = chosen(ProjectionsOptions, options, changes)
    moving = StimulusOptions(stimulus=stimulus) if isinstance(stimulus, str) else stimulus
    moving = moving if frames is None else replace(moving, frames=frames)
    found = list(site_projections(model, moving, options, seed=seed))
    arrays = {f"{row.site}/{key}": value for row, own in found for key, value in own.items()}
    return Projections(tuple(row for row, _ in found), arrays, moving.stimulus)


def site_projections(
    model: ResNetVAE, stimulus: StimulusOptions, options: ProjectionsOptions, *, seed: int = 0
) -> Iterator[tuple[SiteProjections, Arrays]]:
    """Row and arrays of each site in turn; see ``projections``."""
    finest = max(options.refinements, default=stimulus.frames)
    moving, fine = (make(model, stimulus, count) for count in (stimulus.frames, finest))
    for group in _groups(sites(model, options.sites), max(finest, stimulus.frames)):
        of_moving = activations(model, moving.frames, group)
        of_fine = activations(model, fine.frames, group) if options.refinements else {}
        for site in sites(model, group):
            row, arrays = project_site(site, of_moving.pop(site.name), moving, options.projections, seed)
            if options.refinements and row.moves:
                grown = refine(of_fine.pop(site.name), options.refinements)
                alpha = row.trajectory_alpha.value if row.trajectory_alpha is not None else None
                row = replace(
                    row,
                    refinement_slope=grown.slope,
                    refinement_frames=grown.frames,
                    refinement_actions=grown.actions,
                    predicted_slope=None if alpha is None else max(0.0, 3.0 + alpha),
                )
            yield row, arrays


def make(model: ResNetVAE, stimulus: StimulusOptions, frames: int) -> Stimulus:
    """The stimulus at a network's size, in so many frames."""
    architecture = model.architecture
    size, channels = architecture.image_size, architecture.channels
    return make_stimulus(stimulus.stimulus, frames, size, channels, **stimulus.settings())


def _groups(places: Sequence[Site], n_frames: int) -> list[list[str]]:
    """Sites whose frames fit in memory together, in order."""
    groups: list[list[str]] = [[]]
    used = 0
    for site in places:
        size = 8 * n_frames * site.width
        if groups[-1] and used + size > MAXIMUM_BYTES:
            groups.append([])
            used = 0
        groups[-1].append(site.name)
        used += size
    return groups


def refine(frames: Float[np.ndarray, "frame width"], counts: Sequence[int]) -> Refinement:
    """Action of every n-th frame of one fine trajectory, and its growth with the number of frames."""
    actions = []
    for n in counts:
        part = frames[:: len(frames) // n]
        actions.append(float(expected_action(np.concatenate([part, part[:1]]), 1 / n)))
    slope = refinement_slope(np.array(counts), np.array(actions))
    return Refinement(float(slope), list(counts), actions)
