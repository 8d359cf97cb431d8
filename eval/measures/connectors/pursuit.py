"""Sparse least squares for many outputs at once, from second moments: which few inputs, and with what weights?

    minimise  mean (y - b - w . x)^2 + r sum ((w - w0) spread(x))^2   over w with at most k non-zeros

by hard thresholding pursuit [Foucart 2011]: a gradient step of normalised length [Blumensath & Davies 2010], the k
largest weights in units of their inputs' spread kept, least squares on those, again until the kept set stands. w0 is 0,
or what is known before the data: where tokens are few the fit stays near it. The answer depends on the start, as every
greedy answer to this question does; the best set visited is returned.

Axis glossary: ``output`` regressions, ``input`` candidate inputs of one output, ``kept`` those with a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.errors import UserError

SLACK = 1e-9  # relative: a loss that falls by less has not fallen


@dataclass(frozen=True)
class Moments:
    """Centred second moments of each output's candidates: sums over tokens divided by their number.

    gram: covariances of candidates. cross: with the output. variance: of the output.
    """

    gram: Float[Tensor, "output input input"]
    cross: Float[Tensor, "output input"]
    variance: Float[Tensor, " output"]

    @property
    def spread(self) -> Float[Tensor, "output input"]:
        """Standard deviation of each candidate."""
        return self.gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()


@dataclass(frozen=True)
class SparseFit:
    """kept: candidates with a weight, by output, best first; weights: theirs, in the inputs' own units, 0 where a
    place is empty; fvu: share of the output's variance left on the moments fitted, in [0, 1], NaN if it is constant."""

    kept: Int[Tensor, "output kept"]
    weights: Float[Tensor, "output kept"]
    fvu: Float[Tensor, " output"]


def pursue(
    moments: Moments,
    n_kept: int,
    start: Float[Tensor, "output input"] | None = None,
    *,
    usable: Bool[Tensor, "output input"] | None = None,
    ridge: float = 1e-3,
    toward: Float[Tensor, "output input"] | None = None,
    iterations: int = 50,
) -> SparseFit:
    """The `n_kept` inputs of each output that predict it best, found from a start.

    Args:
        start: weights to begin from, in the inputs' own units (none: from nothing, so that the first set is that of
            the largest correlations). usable: candidates that may be chosen; those that never vary may not.
        ridge: what the squared distance to `toward` (none: to 0) costs, in units of each input's variance.

    Raises:
        UserError: fewer candidates than are to be kept; moments that are not finite.
    """
    problem, allowed = _problem(moments, n_kept, usable, ridge, toward)
    weights = torch.zeros_like(problem.cross) if start is None else start.double() * moments.spread * allowed
    chosen = _largest(weights if bool(weights.any()) else problem.cross, allowed, n_kept)
    weights = _on(problem, chosen, allowed)
    best, least = chosen, _loss(problem, weights)
    for _ in range(iterations):
        proposal = _largest(weights + _step(problem, weights, chosen), allowed, n_kept)
        weights = _on(problem, proposal, allowed)
        loss = _loss(problem, weights)
        better = loss < least - SLACK * problem.variance
        best, least = torch.where(better[:, None], proposal, best), torch.where(better, loss, least)
        if not bool(better.any()):
            break
        chosen = proposal
    return refit(moments, best, usable=usable, ridge=ridge, toward=toward)


def refit(
    moments: Moments,
    kept: Int[Tensor, "output kept"],
    *,
    usable: Bool[Tensor, "output input"] | None = None,
    ridge: float = 1e-3,
    toward: Float[Tensor, "output input"] | None = None,
) -> SparseFit:
    """Least squares on given inputs, in the order of what they carry (`|w|` in units of their spread)."""
    problem, allowed = _problem(moments, kept.shape[1], usable, ridge, toward)
    values = _on(problem, kept, allowed).gather(1, kept)
    order = values.abs().argsort(dim=1, descending=True)
    kept, values = kept.gather(1, order), values.gather(1, order)
    spread = moments.spread.gather(1, kept).double()
    weights = torch.where(spread > 0, values / spread.clamp(min=1e-300), 0.0)
    dense = torch.zeros_like(problem.cross).scatter(1, kept, weights)
    return SparseFit(kept, weights, explained_by(moments, dense))


def explained_by(moments: Moments, weights: Float[Tensor, "output input"]) -> Float[Tensor, " output"]:
    """FVU of given weights with the best constant: 1 where they are 0, above 1 where they do harm."""
    w, gram = weights.double(), moments.gram.double()
    quadratic = torch.einsum("oi,oij,oj->o", w, gram, w)
    variance = moments.variance.double()
    left = 1 + (quadratic - 2 * (w * moments.cross.double()).sum(1)) / variance
    return torch.where(variance > 0, left, torch.nan)


def _problem(
    moments: Moments, n_kept: int, usable: Tensor | None, ridge: float, toward: Tensor | None
) -> tuple[Moments, Tensor]:
    """Moments in units of each candidate's spread with the penalty in them, and which candidates may be chosen."""
    if moments.gram.shape[1] < n_kept:
        raise UserError(
            f"expected at least {n_kept} candidates an output; got {moments.gram.shape[1]}; keep fewer edges"
        )
    if not all(bool(torch.isfinite(part).all()) for part in (moments.gram, moments.cross, moments.variance)):
        raise UserError("expected finite moments; got NaN or infinity; check the dictionaries' weights")
    spread = moments.spread.double()
    allowed = spread > 0 if usable is None else (spread > 0) & usable
    inverse = torch.where(allowed, 1 / spread.clamp(min=1e-300), 0.0)
    gram = moments.gram.double() * inverse[:, :, None] * inverse[:, None]
    variance = moments.variance.double()
    gram = gram + torch.diag_embed(ridge * torch.ones_like(inverse))
    cross = moments.cross.double() * inverse
    if toward is not None:
        cross = cross + ridge * toward.double() * spread * allowed
    return Moments(gram, cross, variance), allowed


def _largest(values: Tensor, allowed: Tensor, count: int) -> Tensor:
    return torch.where(allowed, values.abs(), -1.0).topk(count, dim=1).indices


def _step(problem: Moments, weights: Tensor, chosen: Tensor) -> Tensor:
    """The gradient step that is longest on the chosen set without overshooting there."""
    gradient = problem.cross - torch.einsum("oij,oj->oi", problem.gram, weights)
    own = torch.zeros_like(gradient).scatter(1, chosen, gradient.gather(1, chosen))
    curved = torch.einsum("oi,oij,oj->o", own, problem.gram, own)
    length = torch.where(curved > 0, own.square().sum(1) / curved.clamp(min=1e-300), 1.0)
    return length.clamp(max=1.0)[:, None] * gradient


def _on(problem: Moments, kept: Tensor, allowed: Tensor) -> Tensor:
    """Least-squares weights on the kept inputs, in their units, [output input]; 0 for those that may not be kept."""
    n = kept.shape[1]
    gram = problem.gram.gather(1, kept[:, :, None].expand(-1, -1, problem.gram.shape[2]))
    gram = gram.gather(2, kept[:, None].expand(-1, n, -1))
    usable = allowed.gather(1, kept)
    gram = gram + torch.diag_embed((~usable).double())
    values = torch.linalg.solve(gram, problem.cross.gather(1, kept) * usable)
    return torch.zeros_like(problem.cross).scatter(1, kept, values)


def _loss(problem: Moments, weights: Tensor) -> Tensor:
    """What is minimised, less what no weight can change."""
    quadratic = torch.einsum("oi,oij,oj->o", weights, problem.gram, weights)
    return quadratic - 2 * (weights * problem.cross).sum(1)
