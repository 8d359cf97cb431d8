"""Which one threshold leaves k features active per row on average?

A batch-TopK dictionary is trained with the k largest scores per row of a batch and used with one threshold. A running
mean of each batch's smallest kept score lags behind the weights: saved with it, a dictionary of 32 features had 44.6.
The threshold here is exact for the rows it is given: with n rows it lies just below the (k n)-th largest score.

Axis glossary: ``row`` tokens (of one batch: ``_``), ``feature``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

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
    count = round(k * n_rows)
    if n_rows < 1 or count < 1:
        raise UserError(f"expected rows and k above 0; got {n_rows} rows and k={k}; give activations to calibrate on")
    kept = torch.zeros(0)
    for scores in batches:
        flat = scores.flatten().float().cpu()
        flat = flat[flat > (kept.min() if len(kept) == count else 0)]
        kept = torch.cat([kept, flat])
        if len(kept) > count:
            kept = kept.topk(count, sorted=False).values
    if len(kept) < count:
        return 0.0
    smallest = kept.min()
    return max(0.0, float(torch.nextafter(smallest, torch.tensor(-math.inf))))
