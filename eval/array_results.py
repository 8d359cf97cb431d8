"""Your own activations, no model: the measures one would ask of an array, with intervals over its documents.

    spectrum(activations, documents=documents).alpha_corrected
    action(activations, documents=documents).action_per_variance
    cluster_codes(codes).labels

Arrays are NumPy or torch (any device, any float kind). Axes: ``token`` (rows, in order), ``width`` or ``unit``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.errors import UserError
from eval.measures.clustering import clusters
from eval.measures.clustering.clusters import Clusters
from eval.measures.codes.polytope import CodeMap, CodePart, SplineCodes
from eval.measures.projections import streamed_action
from eval.measures.spectra.document_interval import exponent_over_documents
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import INDEX_RANGE
from eval.measures.spectra.spectrum import Spectrum
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.result_json import measured, noted
from eval.results import Result, result
from eval.scores import Score


@result
class ArraySpectrum(Result):
    """The eigenspectrum of an array of activations.

    alpha: exponent as measured; alpha_corrected: with endless data, 95% interval over documents (`alpha_ci` in JSON).
    participation_ratio, effective_rank, top_direction_share, r2: see `eval.measures.spectra`. eigenvalues: falling.
    """

    n_tokens: int
    n_documents: int
    width: int
    alpha: float | None
    alpha_corrected: Score = measured(ci="alpha_ci", n=None)
    r2: float | None = None
    participation_ratio: float | None = None
    effective_rank: float | None = None
    top_direction_share: float | None = None
    eigenvalues: np.ndarray | None = None
    alpha_reason: str | None = noted(default=None, when_set=True)


@result
class ArrayAction(Result):
    """How much a code moves from row to row.

    action: of a random three-dimensional projection, mean over trajectories, closed form; squared activation units.
    action_per_variance: relative to the variance, with an interval over documents: 1 for white noise, 0 for a constant.
    minimum_action: least action per variance of any projection, exactly. Undefined without steps, with the reason.
    """

    n_trajectories: int
    n_steps: int
    action: float | None
    action_per_variance: Score
    minimum_action: float | None = None
    reason: str | None = noted(default=None, when_set=True)


def spectrum(
    activations: Any,
    *,
    documents: Any = None,
    index_range: tuple[int, int] = INDEX_RANGE,
    seed: int = 0,
) -> ArraySpectrum:
    """How redundant is the code? Power law of the covariance's eigenvalues, with an honest interval.

    Args:
        activations: [token, width]. documents: an identifier per token (text, image, subject): what is resampled;
            without it every row stands for itself. index_range: of the fit, 1-based, inclusive. seed: simulations.

    Raises:
        UserError: not two axes, values that are not finite, identifiers that do not match.
    """
    values = _matrix(activations, "activations [token, width]")
    moments = Moments(values.shape[1], "the array")
    moments.update(_tensor(values), None if documents is None else _identifiers(documents, len(values)))
    found = Spectrum.of(moments, split_half=False)
    report = found.report(index_range)
    names = ("alpha", "r2", "participation_ratio", "effective_rank", "top_direction_share")
    fields: dict[str, Any] = {name: report[name] for name in names}
    fields |= {"n_tokens": moments.n_tokens, "n_documents": moments.n_documents, "width": found.width}
    reason = report.get("alpha_reason")
    score = Score.undefined(reason) if reason else exponent_over_documents(moments, index_range, seed=seed).score
    return ArraySpectrum(**fields, alpha_corrected=score, eigenvalues=found.eigenvalues, alpha_reason=reason)


def action(activations: Any, *, documents: Any = None) -> ArrayAction:
    """How smooth is the code along time? Action of its random projections [MK eq. 4, corrected], rows being time.

    Args:
        activations: [token, width], in order. documents: an identifier per row: each document is a trajectory, and no
            step crosses from one to the next; without it all rows are one.

    Raises:
        UserError: not two axes, values that are not finite, identifiers that do not match.
    """
    values = _matrix(activations, "activations [token, width]")
    labels = np.zeros(len(values), dtype=np.int64) if documents is None else _identifiers(documents, len(values))
    within = labels[1:] == labels[:-1]
    steps = np.diff(values, axis=0)[within]
    n_trajectories = len(np.unique(labels))
    centred = values - values.mean(0)
    if not len(steps) or not np.any(centred):
        reason = "no two neighbouring rows of one document" if not len(steps) else "the activations do not vary"
        return ArrayAction(n_trajectories, len(steps), None, Score.undefined(reason), None, reason)
    differences = steps.T @ steps
    return ArrayAction(
        n_trajectories,
        len(steps),
        streamed_action.expected_action(differences) / n_trajectories,
        _per_variance(steps, labels[1:][within], centred, labels),
        *_least(differences, centred.T @ centred),
    )


def _per_variance(steps: np.ndarray, step_labels: np.ndarray, centred: np.ndarray, labels: np.ndarray) -> Score:
    """sum |step|^2 / 2 over (steps of the document x variance), resampled by document."""
    count = np.bincount(labels)
    n_steps = np.bincount(step_labels, minlength=len(count))
    moved = np.bincount(step_labels, (steps**2).sum(1) / 2, minlength=len(count))
    variance = np.bincount(labels, (centred**2).sum(1)) / count
    return bootstrap_ratio(moved, n_steps * variance)


def _least(differences: np.ndarray, covariance: np.ndarray) -> tuple[float | None, str | None]:
    try:
        _, least = streamed_action.minimum_action_directions(differences, covariance)
    except UserError as error:
        return None, str(error)
    return float(least[0]), None


def cluster_codes(codes: Any, **options: Any) -> Clusters:
    """Which inputs does the network treat alike? HDBSCAN of 0/1 codes [item, unit] under the Hamming distance.

    Args:
        codes: zeros and ones (or booleans), or `SplineCodes`. options: see
            `eval.measures.clustering.clusters.cluster_codes` (`min_cluster_size=20`, `method="eom"`, ...).

    Returns:
        `Clusters`: `.labels` (-1 is noise), `.n_clusters`, `.sizes`.

    Raises:
        UserError: values other than 0 and 1.
    """
    if isinstance(codes, SplineCodes):
        return clusters.cluster_codes(codes, **options)
    values = _matrix(codes, "codes [item, unit]")
    if not np.isin(values, (0, 1)).all():
        raise UserError("expected codes of zeros and ones; got other values; pass activations > 0, or cluster_points()")
    part = CodePart("codes", "relu", (values.shape[1],), (0.5,))
    packed = SplineCodes.hard(CodeMap((part,), "the array", "none"), {"codes": values}, tolerance=0.0)
    return clusters.cluster_codes(packed, **options)


def _matrix(values: Any, expected: str) -> np.ndarray:
    """A finite matrix in float64 from NumPy or torch."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise UserError(f"expected {expected}; got shape {list(array.shape)}; pass rows")
    if not np.isfinite(array).all():
        raise UserError(f"expected finite {expected}; got NaN or infinite values; leave those rows out")
    return array


def _tensor(values: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(values)


def _identifiers(documents: Any, rows: int) -> np.ndarray:
    """Any labels as whole numbers, one per row, in order of first appearance."""
    labels = np.asarray(documents.cpu() if hasattr(documents, "cpu") else documents)
    if labels.shape != (rows,):
        raise UserError(
            f"expected one document identifier per row, {rows}; got shape {list(labels.shape)}; repeat them"
        )
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers].astype(np.int64)
