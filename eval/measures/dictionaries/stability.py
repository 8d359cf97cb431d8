"""Would another seed have found the same features? Cosines of two dictionaries' decoder vectors, beside random ones.

    best_f   = max over g of cos(d_f, d'_g)
    share    = share of features f with best_f >= .7;  mean = mean of best_f

Beside both stands what as many random (isotropic) directions of that width reach: a large dictionary has a partner for
anything in a narrow space. Higher is more stable; range [-1, 1]. Axes: feature, width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap_mean, bootstrap_share
from eval.scores import Score

PARTNER_COSINE = 0.7
BLOCK = 2048
OWN_STREAM = 77_003
"""Added to the seed: a dictionary's random start, drawn with the same seed, must not be the null."""


@dataclass(frozen=True)
class Match:
    """How well the features of one dictionary are found in another; intervals over features.

    share: of features with a partner at cosine .7; mean: of the best cosines; share_random, mean_random: the same where
    the partner is as many random directions.
    """

    share: Score
    mean: Score
    share_random: Score
    mean_random: Score


def match(
    vectors: Float[Tensor, "feature width"], partner: Float[Tensor, "feature2 width2"], *, seed: int = 0
) -> Match:
    """Compare two dictionaries of one site. Features whose vector is zero are left out.

    Raises:
        UserError: the widths differ, or no vector is left.
    """
    if vectors.shape[1] != partner.shape[1]:
        raise UserError(
            f"expected two dictionaries of one width; got {vectors.shape[1]} and {partner.shape[1]}; compare two of "
            "one site"
        )
    generator = torch.Generator().manual_seed(seed + OWN_STREAM)
    noise = torch.randn(partner.shape, generator=generator)
    found, null = best_cosines(vectors, partner), best_cosines(vectors, noise)
    if not len(found):
        raise UserError("expected vectors that are not all zero; got none; compare trained dictionaries")
    return Match(*(_summaries(found, seed) + _summaries(null, seed)))


def best_cosines(
    vectors: Float[Tensor, "feature width"], partner: Float[Tensor, "feature2 width"]
) -> Float[Tensor, " found"]:
    """The largest cosine of every non-zero vector with any of the partner's, in blocks."""
    ours, theirs = (_unit(rows.float()) for rows in (vectors, partner))
    return torch.cat([(rows @ theirs.T).max(1).values for rows in ours.split(BLOCK)])


def _unit(rows: Tensor) -> Tensor:
    size = rows.norm(dim=1, keepdim=True)
    return (rows / size)[size[:, 0] > 0]


def _summaries(best: Tensor, seed: int) -> tuple[Score, Score]:
    values = best.double().numpy()
    partnered = (values >= PARTNER_COSINE).astype(float)
    return bootstrap_share(partnered, seed=seed), bootstrap_mean(values, seed=seed)
