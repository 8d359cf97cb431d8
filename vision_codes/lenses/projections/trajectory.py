"""A closed trajectory of activations in its own subspace: nothing a random projection can tell apart is lost.

Exactness: with r_ij ~ N(0, 1/m) only the n frames' own subspace matters. Activations A = U S V^T are replaced by their
coordinates U S [frame, rank]; r there has the same distribution, so every quantity is the one of all m units.

Axis glossary: ``frame`` time (closed path: the first frame follows the last), ``width`` units, ``rank`` coordinates of
the trajectory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eval.measures.spectra.power_law import INDEX_RANGE, power_law_exponent
from eval.scores import Score


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


def trajectory_alpha(trajectory: Trajectory, index_range: tuple[int, int] = INDEX_RANGE) -> Score:
    """Power-law exponent of the stimulus' own code (covariance over frames), to set against 1 + 2/d."""
    values = trajectory.eigenvalues()
    if len(values) < index_range[1]:
        return Score.undefined(f"the trajectory spans {len(values)} dimensions; the fit needs index {index_range[1]}")
    return Score(float(power_law_exponent(values, index_range)), interval_reason="one trajectory; see the seeds")
