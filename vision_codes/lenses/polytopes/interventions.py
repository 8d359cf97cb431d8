"""Setting a cluster's code by hand: does an image then look, to the rest of the network, like the cluster's images?

The switches that set a cluster apart (`eval.measures.geometry.forced_codes`) are put on the cluster's pieces at every
place of images that do not hold it, twice: *continued*, the cluster's linear map at the image's own pre-activations,
which lie outside the cluster's region, and *mirrored*, with the pre-activations reflected into that region. The control
moves as many switches at every place, drawn at random, in the same way.

Axis glossary: ``image``, ``class``, ``cluster``.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.clustering.clusters import Clusters
from eval.measures.geometry.forced_codes import (
    KINDS_OF_VALUES,
    Change,
    Forced,
    Values,
    as_many_at_random,
    cluster_code,
    force_codes,
    set_pieces,
)
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.statistics.resampling import bootstrap_mean
from eval.scores import Score
from vision_codes.lenses.polytopes.density import batches
from vision_codes.lenses.polytopes.panel_rows import InterventionRow
from vision_codes.lenses.polytopes.patches import ChannelVectors

UNITS = 16
IMAGES = 16
"""Most images on which a cluster's code is set: those that hold fewest of its places."""
MINIMUM_IMAGES = 8


def cluster_interventions(
    program: Program, x: Tensor, vectors: ChannelVectors, found: Clusters, *, count: int, batch_size: int = 8,
    seed: int = 0,
) -> tuple[InterventionRow, ...]:  # fmt: skip
    """Two rows, continued and mirrored, for each of the `count` largest clusters of codes of a site."""
    pieces = vectors.switch.pieces(torch.as_tensor(vectors.values)).numpy()
    with torch.no_grad():
        outputs = torch.cat([program(batch) for batch in batches(x, batch_size)])
    rows = []
    for cluster in range(min(count, found.n_clusters)):
        inside = found.labels == cluster
        if inside.all():
            continue
        held = np.bincount(vectors.image[inside], minlength=len(x))
        chosen = np.argsort(held, kind="stable")[:IMAGES]
        target = np.average(outputs.double().softmax(1).numpy(), axis=0, weights=held)
        code = cluster_code(pieces, inside, UNITS)
        places = vectors.grid[0] * vectors.grid[1]
        for values in KINDS_OF_VALUES:
            changes = set_pieces(code), as_many_at_random(code, len(vectors.switch.slopes), seed)
            arms = [
                _forced(program, x[torch.as_tensor(chosen)], vectors.site, change, values, batch_size)
                for change in changes
            ]
            rows.append(_row(cluster, vectors.site, values, code.units, arms, target, places, seed))
    return tuple(rows)


def _forced(program: Program, x: Tensor, site: str, change: Change, values: Values, batch_size: int) -> Forced:
    parts = [force_codes(program, batch, site, change, values) for batch in batches(x, batch_size)]
    return Forced(*(torch.cat([getattr(p, key) for p in parts]) for key in ("before", "after", "flipped", "later")))


def _row(
    cluster: int, site: str, values: Values, units: np.ndarray, arms: list[Forced],
    target: Float[np.ndarray, " class"], places: int, seed: int,
) -> InterventionRow:  # fmt: skip
    gains = [_gain(arm, target) for arm in arms]
    own, random = arms
    changed = [float((arm.before.argmax(1) != arm.after.argmax(1)).double().mean()) for arm in arms]
    return InterventionRow(
        cluster, site, values, tuple(int(unit) for unit in units), len(own.before),
        float(own.flipped.double().mean()) / places,
        _mean(gains[0], seed), _mean(gains[1], seed), _mean(gains[0] - gains[1], seed), changed[0], changed[1],
        float(own.later.mean()), float(random.later.mean()),
    )  # fmt: skip


def _gain(arm: Forced, target: Float[np.ndarray, " class"]) -> np.ndarray:
    """How much likelier what the network says of the cluster's own images has become, in nats, ``[image]``."""
    before, after = (values.double().log_softmax(1).numpy() for values in (arm.before, arm.after))
    return (after - before) @ target


def _mean(values: np.ndarray, seed: int) -> Score:
    return bootstrap_mean(values, minimum_groups=MINIMUM_IMAGES, seed=seed, method="percentile")
