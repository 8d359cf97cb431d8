"""Where along rays from the origin do boundaries crowd, and is that a peak or only decay? [Black et al. 2022, Fig. 7]

A ratio of the crossings inside and outside of the activation rewards monotone decay as well as a peak. Here the place
of the highest density is found on one half of the rays, and how far density rises to it and falls from it is measured
on the other half, so that choosing the highest of many bins is not paid back as a rise.

Axis glossary: ``ray`` from the origin through one activation; ``bin`` of s, where s = 1 is the activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Real, Shaped

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap
from eval.scores import Score

Shape = Literal["peak", "decay", "growth", "flat", "undecided", "no crossing"]
WIDTH = 3
"""Bins that a density is averaged over."""
MINIMUM_RAYS = 8


@dataclass(frozen=True)
class RayPeak:
    """location: s of the highest density; rise, fall: log2 of the density there over that at the start and at the end
    of the rays; prominence: over the higher of the two, the size of a peak (0 for decay and growth); each with an
    interval over rays. shape: `peak` (rises to it and falls from it), `decay` (falls, no rise seen), `growth` (rises,
    no fall seen), `flat`, or `undecided` for too few rays."""

    location: Score
    rise: Score
    fall: Score
    prominence: Score
    shape: Shape


def ray_peak(
    crossings: Real[np.ndarray, "ray bin"],
    s: Float[np.ndarray, " edge"],
    *,
    groups: Shaped[np.ndarray, " ray"] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    n_resamples: int = 2000,
) -> RayPeak:
    """Does the density of boundaries along rays peak, and where?

    Args:
        crossings: boundaries in each bin of each ray; s: edges of the bins, one more than bins, evenly spaced.
        groups: what the rays of one group share (a document); groups are resampled and halved, rays by default.
        confidence: of the intervals; 1 - .05 / k where k layers are judged together.
        seed: of the resampling of groups.

    Raises:
        UserError: edges that do not fit, fewer than three times `WIDTH` bins.
    """
    counts, s = np.asarray(crossings, dtype=float), np.asarray(s, dtype=float)
    if counts.ndim != 2 or len(s) != counts.shape[1] + 1 or counts.shape[1] < 3 * WIDTH:
        raise UserError(
            f"expected [ray, bin] with at least {3 * WIDTH} bins, and their edges; got {counts.shape}, {len(s)}"
        )
    if not counts.any():
        none = Score.undefined("no crossing on any ray: the network is homogeneous here", len(counts))
        return RayPeak(none, none, none, none, "no crossing")
    if groups is not None:
        place = np.unique(groups, return_inverse=True)[1]
        counts = np.stack([np.bincount(place, column) for column in counts.T], axis=1)
    middle = _smooth((s[1:] + s[:-1])[None] / 2)[0]
    half = np.arange(len(counts)) % 2 == 0

    def location(weights: np.ndarray) -> np.ndarray:
        return middle[_smooth(weights @ counts).argmax(1)]

    def against(*ends: int):  # noqa: ANN202
        def statistic(weights: np.ndarray) -> np.ndarray:
            curves = [_smooth(weights[:, part] @ counts[part]) for part in (half, ~half)]
            both = []
            for own, other in (curves, curves[::-1]):
                highest = np.take_along_axis(other, own.argmax(1)[:, None], 1)[:, 0]
                with np.errstate(divide="ignore", invalid="ignore"):
                    both.append(np.log2(highest / other[:, list(ends)].max(1)))
            return np.mean(both, axis=0)

        return statistic

    options: dict[str, Any] = {
        "seed": seed, "minimum_groups": MINIMUM_RAYS, "method": "percentile", "n_resamples": n_resamples,
        "confidence": confidence,
    }  # fmt: skip
    where = bootstrap(location, len(counts), **options)
    rise, fall, prominence = (bootstrap(against(*ends), len(counts), **options) for ends in ((0,), (-1,), (0, -1)))
    return RayPeak(where, rise, fall, prominence, _shape(rise, fall))


def _smooth(curves: np.ndarray) -> np.ndarray:
    """Means of `WIDTH` neighbouring bins, ``[curve bin - WIDTH + 1]``."""
    return np.lib.stride_tricks.sliding_window_view(curves, WIDTH, axis=1).mean(-1)


def _shape(rise: Score, fall: Score) -> Shape:
    if rise.low is None or fall.low is None:
        return "undecided"
    rises, falls = rise.low > 0, fall.low > 0
    if rises and falls:
        return "peak"
    return "decay" if falls else "growth" if rises else "flat"
