"""Is the code of a moving stimulus smooth? Random projections of a trajectory at every layer [MK Fig. 4, 6].

For each site: the action of random projections in closed form and sampled, the exact minimum beside it, how the action
grows as frames are added, and how much of the stimulus a projection lets one read.

Exactness: with r_ij ~ N(0, 1/m) only the n frames' own subspace matters. Activations A = U S V^T are replaced by their
coordinates U S [frame, rank]; r there has the same distribution, so every quantity is the one of all m units.

Axis glossary: ``frame`` time (closed path: the first frame follows the last), ``width`` units, ``rank`` coordinates of
the trajectory, ``draw`` random projections, ``dimension`` of a projection (3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import spearmanr

from eval.errors import UserError
from eval.measures.projections.projection import (
    action,
    action_per_variance,
    expected_action,
    minimum_action,
    random_projections,
    refinement_slope,
)
from eval.measures.spectra.power_law import INDEX_RANGE, power_law_exponent
from eval.scores import Score
from vision_codes.harvest import Site, activations, sites
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.stimuli import Stimulus, make_stimulus

REFINEMENTS = (50, 100, 200, 400, 800)
N_ARCS = 8
MAXIMUM_BYTES = 2**30
"""Sites are visited in groups whose frames fit in this much memory."""
COLUMNS = ["site", "layer", "action", "action_sampled", "action_per_trace", "minimum_action_per_variance"]
COLUMNS += ["explained_coordinates", "explained_pixels", "trajectory_alpha", "refinement_slope", "predicted_slope"]


@dataclass(frozen=True)
class Trajectory:
    """A closed trajectory in its own subspace.

    coordinates: ``[frame rank]`` about their mean, scaled by sqrt(rank / width), so that projections ~ N(0, 1/rank) of
    them are projections ~ N(0, 1/width) of the activations. width: units of the site.
    """

    coordinates: Float[np.ndarray, "frame rank"]
    width: int

    @classmethod
    def of(cls, frames: Float[np.ndarray, "frame width"]) -> Trajectory:
        """Rotate activations into the subspace they span; distances and variances stay, up to the scale above."""
        frames = np.asarray(frames, dtype=np.float64)
        centred = frames - frames.mean(0)
        values, vectors = np.linalg.eigh(centred @ centred.T)
        kept = values > 1e-12 * max(values[-1], np.finfo(float).tiny)
        scale = np.sqrt(kept.sum() / frames.shape[1])
        return cls((vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1] * scale, frames.shape[1])

    @property
    def rank(self) -> int:
        return self.coordinates.shape[1]

    @property
    def closed(self) -> Float[np.ndarray, "frame rank"]:
        """The frames and the first one again."""
        return np.concatenate([self.coordinates, self.coordinates[:1]])

    def eigenvalues(self) -> Float[np.ndarray, " rank"]:
        """Of the covariance of the activations over frames, falling."""
        return np.square(self.coordinates).sum(0) * self.width / self.rank / len(self.coordinates)


def project_site(
    frames: Float[np.ndarray, "frame width"], stimulus: Stimulus, n_projections: int = 1000, seed: int = 0
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Everything about one site on one trajectory: JSON fields, and arrays for figures.

    Fields: ``action`` (closed form, total time 1) with ``action_sampled`` and its ``_standard_error``;
    ``action_per_trace`` = action over the variance per unit, which does not depend on the scale of a site;
    ``minimum_action_per_variance`` (exact) and ``..._sampled`` (least of the draws); ``explained_coordinates`` and
    ``explained_pixels``: median over projections of the held-out R^2, with the central 95% *of projections* as
    ``_range``; ``action_explained_rho``: Spearman over projections of action per variance and explained coordinates.
    A site that does not move has undefined values, with the reason.
    """
    trajectory = Trajectory.of(frames)
    if trajectory.rank < 3:
        reason = f"the activations of the stimulus span {trajectory.rank} dimensions; a projection needs 3"
        return {"action": None, "action_reason": reason}, {}
    dt = 1 / len(frames)
    draws = random_projections(trajectory.rank, n_projections, seed=seed)
    paths = trajectory.closed @ draws
    actions = action(paths, dt)
    ratios = action_per_variance(trajectory.closed, draws, dt)
    coordinates = explained_variances(paths[:, :-1], stimulus.coordinates)
    pixels = explained_variances(paths[:, :-1], stimulus.pixels)
    variance = float(trajectory.eigenvalues().sum())
    expected = expected_action(trajectory.closed, dt)
    rho: Any = spearmanr(ratios, coordinates)
    fields: dict[str, Any] = {
        "action": expected,
        "action_sampled": actions.mean(),
        "action_sampled_standard_error": actions.std(ddof=1) / np.sqrt(len(actions)),
        "action_per_trace": expected / variance * trajectory.width,
        "variance_per_unit": variance / trajectory.width,
        "minimum_action_per_variance": float(minimum_action(trajectory.closed, dt).action_per_variance.mean()),
        "minimum_action_per_variance_sampled": float(ratios.min()),
        **_spread("explained_coordinates", coordinates),
        **_spread("explained_pixels", pixels),
        "action_explained_rho": float(rho.statistic),
        **trajectory_alpha(trajectory).fields("trajectory_alpha"),
    }
    arrays = {"drawn": paths[:4], "action_per_variance": ratios, "explained": coordinates, "actions": actions}
    return fields, arrays


def _spread(name: str, values: np.ndarray) -> dict[str, Any]:
    return {name: float(np.median(values)), f"{name}_range": np.percentile(values, [2.5, 97.5]).tolist()}


def trajectory_alpha(trajectory: Trajectory, index_range: tuple[int, int] = INDEX_RANGE) -> Score:
    """Power-law exponent of the stimulus' own code (covariance over frames), to set against 1 + 2/d."""
    values = trajectory.eigenvalues()
    if len(values) < index_range[1]:
        return Score.undefined(f"the trajectory spans {len(values)} dimensions; the fit needs index {index_range[1]}")
    return Score(float(power_law_exponent(values, index_range)), interval_reason="one trajectory; see the seeds")


def arc_masks(n_frames: int, n_arcs: int = N_ARCS) -> Bool[np.ndarray, "arc frame"]:
    """One mask per arc of the circle: each arc is held out once (interleaved frames would be read off neighbours)."""
    return np.arange(n_arcs)[:, None] == np.arange(n_frames) * n_arcs // n_frames


def explained_variances(
    paths: Float[np.ndarray, "draw frame dimension"],
    stimulus: Float[np.ndarray, "frame stimulus"],
    held_out: Bool[np.ndarray, "fold frame"] | None = None,
) -> Float[np.ndarray, " draw"]:
    """`eval.measures.projections.projection.explained_variance` of many projections at once, pooled over folds (arcs).

    1 - (residual over all held-out frames) / (their variation about the training means); 1 is perfect, 0 no better than
    the training mean. A stimulus with more components than frames is rotated into its own subspace, which changes
    nothing.

    Raises:
        UserError: a stimulus that does not vary.
    """
    folds = arc_masks(paths.shape[1]) if held_out is None else held_out
    target = stimulus - stimulus.mean(0)
    if target.shape[1] > len(target):
        values, vectors = np.linalg.eigh(target @ target.T)
        target = vectors * np.sqrt(np.maximum(values, 0))
    scale = np.abs(paths).max(axis=(1, 2), keepdims=True)
    design = np.concatenate([paths / np.where(scale > 0, scale, 1), np.ones((*paths.shape[:2], 1))], axis=2)
    ridge = 1e-12 * np.eye(design.shape[2]) * paths.shape[1]  # a projection that stands still: 0/0 becomes 0
    gram, cross = _products(design, target)
    residual, total = np.zeros(len(paths)), 0.0
    for test in folds:  # the sums over training frames are those over all frames less those over held-out ones
        test_gram, test_cross = _products(design[:, test], target[test])
        weights = np.linalg.solve(gram - test_gram + ridge, cross - test_cross)
        residual += np.square(target[test]).sum()
        residual += ((test_gram @ weights - 2 * test_cross) * weights).sum((1, 2))
        total += float(np.square(target[test] - target[~test].mean(0)).sum())
    if total <= 1e-20:
        raise UserError("expected a stimulus that varies; got a constant one; give it a radius or contrast above 0")
    return 1 - residual / total


def _products(
    design: Float[np.ndarray, "draw frame column"], target: Float[np.ndarray, "frame stimulus"]
) -> tuple[Float[np.ndarray, "draw column column"], Float[np.ndarray, "draw column stimulus"]]:
    """Sums over frames of design design^T and design target^T, the second as one product of matrices."""
    columns = design.transpose(0, 2, 1)
    cross = columns.reshape(-1, columns.shape[2]) @ target
    return columns @ design, cross.reshape(*columns.shape[:2], -1)


def projections(
    model: ResNetVAE,
    stimulus: str = "dot",
    names: Sequence[str] = (),
    *,
    n_frames: int = 200,
    n_projections: int = 1000,
    refinements: Sequence[int] = REFINEMENTS,
    seed: int = 0,
    **settings: Any,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """How smooth is the code of a moving stimulus, site by site?

    Args:
        stimulus: ``dot`` or ``grating``; ``settings`` go to ``vision_codes.stimuli``.
        n_frames: frames of the trajectory. refinements: frame counts for the growth of the action, each a divisor of
            the largest; empty leaves the slope out.
        n_projections: random projections per site. seed: of the projections.

    Returns:
        One dictionary per site (see ``project_site``; plus ``refinement_slope`` = d log action / d log frames, 0 for a
        differentiable code, and ``predicted_slope`` = max(0, 3 - |trajectory_alpha|), the line of the bound 1 + 2/d at
        d = 1), and arrays named ``<site>/<array>``.

    Raises:
        UserError: an unknown site or stimulus, refinements that do not divide the largest, fewer than 2 projections.
    """
    architecture = model.architecture
    if n_projections < 2:
        raise UserError(f"expected at least 2 random projections; got {n_projections}; the paper draws 1000")
    finest = max(refinements) if refinements else n_frames
    if any(finest % n for n in refinements):
        raise UserError(f"expected frame counts that divide the largest; got {tuple(refinements)}; try 50,100,200")
    moving = make_stimulus(stimulus, n_frames, architecture.image_size, architecture.channels, **settings)
    fine = make_stimulus(stimulus, finest, architecture.image_size, architecture.channels, **settings)
    records, arrays = [], {}
    for group in _groups(sites(model, names), max(finest, n_frames)):
        of_moving = activations(model, moving.frames, group)
        of_fine = activations(model, fine.frames, group) if refinements else {}
        for site in sites(model, group):
            fields, site_arrays = project_site(of_moving.pop(site.name), moving, n_projections, seed)
            if refinements and fields["action"]:
                fields |= _refine(of_fine.pop(site.name), refinements)
                alpha = fields["trajectory_alpha"]
                fields["predicted_slope"] = None if alpha is None else max(0.0, 3.0 + alpha)
            records.append({"site": site.name, "layer": site.layer, "width": site.width, **fields})
            arrays |= {f"{site.name}/{key}": value for key, value in site_arrays.items()}
    return records, arrays


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


def _refine(frames: Float[np.ndarray, "frame width"], counts: Sequence[int]) -> dict[str, Any]:
    """Action of every n-th frame of one fine trajectory, and its growth with the number of frames."""
    actions = []
    for n in counts:
        chosen = frames[:: len(frames) // n]
        actions.append(expected_action(np.concatenate([chosen, chosen[:1]]), 1 / n))
    slope = refinement_slope(np.array(counts), np.array(actions))
    return {"refinement_slope": slope, "refinement_frames": list(counts), "refinement_actions": actions}
