"""Which one threshold leaves k features active per row on average?

A batch-TopK dictionary is trained with the k largest scores per row of a batch and used with one threshold. A running
mean of each batch's smallest kept score lags behind the weights: saved with it, a dictionary of 32 features had 44.6.
The threshold here is exact for the rows it is given: with n rows it lies just below the (k n)-th largest score.

Axis glossary: ``row`` tokens (of one batch: ``_``), ``feature``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError


def threshold_for_mean_active(batches: Iterable[Float[Tensor, "_ feature"]], k: int | float, n_rows: int) -> float:
    """The threshold t for which ``score > t`` holds k times per row on average.

    Args:
        batches: scores (pre-activations; only positive ones can be active), in as many parts as memory asks for.
        k: active features per row wanted, above 0.
        n_rows: rows in all batches together; k * n_rows scores are held at once, twice.

    Returns:
        The threshold, at least 0: where fewer scores are positive than asked for, all of them stay.

    Raises:
        UserError: no rows, or k not above 0.
    """
    kept, count = _largest(batches, k, n_rows, least=0.0)
    return max(0.0, _below(kept)) if len(kept) == count else 0.0


def shift_for_mean_active(batches: Iterable[Float[Tensor, "_ feature"]], k: int | float, n_rows: int) -> float:
    """The shift s for which ``score > s`` holds k times per row on average, of scores that may be on at any sign.

    What a gate has to be raised by (below 0: lowered) so that k features are active.

    Args: as `threshold_for_mean_active`; k below the number of features.

    Raises:
        UserError: no rows, k not above 0, fewer scores than asked for.
    """
    kept, count = _largest(batches, k, n_rows, least=-math.inf)
    if len(kept) < count:
        raise UserError(f"expected at least {count} scores for k={k}; got {len(kept)}; lower k")
    return _below(kept)


def _largest(batches: Iterable[Tensor], k: int | float, n_rows: int, least: float) -> tuple[Tensor, int]:
    """The k n_rows largest scores above `least`, or all where they are fewer, and how many were asked for."""
    count = round(k * n_rows)
    if n_rows < 1 or count < 1:
        raise UserError(f"expected rows and k above 0; got {n_rows} rows and k={k}; give activations to calibrate on")
    kept = torch.zeros(0)
    for scores in batches:
        flat = torch.nan_to_num(scores.flatten().float().cpu(), nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        flat = flat[flat > kept.min()] if len(kept) == count else flat
        kept = torch.cat([kept, flat]) if len(kept) else flat
        if len(kept) > count:
            kept = torch.from_numpy(np.partition(kept.numpy(), len(kept) - count)[len(kept) - count :])
    return kept[kept > least], count


def _below(kept: Tensor) -> float:
    """Just below the smallest."""
    return float(torch.nextafter(kept.min(), torch.tensor(-math.inf)))
