"""Do two exponents of the same documents differ? Halves of the documents are taken for both at once.

Two models (or sites, or checkpoints) that read the same text share its accidents: a long speech on trade moves both
exponents. With theta the exponent, A and B the halves of one split of the documents,

    d = theta_2 - theta_1        sd(d) = sqrt(mean (d_A - d_B)^2) / 2

which is `DocumentSplits.sd` of the difference [half-sampling, McCarthy 1969]: what both share drops out. Like the
interval of one exponent it spans the difference of the corrected and of the measured exponents, and Student's quantile
stands for the few groups that documents are kept in.

Axis glossary: ``split``, ``half`` (0 or 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from eval.errors import UserError
from eval.measures.spectra.document_groups import DocumentSplits
from eval.scores import Score


def paired_difference(
    first: Float[np.ndarray, "split half"],
    second: Float[np.ndarray, "other_split half"],
    differences: Sequence[float],
    n_groups: int,
    *,
    n_documents: int | None = None,
    confidence: float = 0.95,
) -> tuple[Score, float]:
    """By how much does the second exponent differ from the first, on documents like these?

    Args:
        first, second: exponents of halves of the same documents, split for split.
        differences: second - first; the first of them is the value, the interval spans all (corrected and measured).
        n_groups: groups of documents that were halved.
        n_documents: behind the score. confidence: nominal coverage, in (0, 1).

    Returns:
        The difference with its interval, and a two-sided p of the difference nearest to 0; p is 1 where they straddle
        it. Equal halves (an exponent beside itself) give an interval without width, and p 1 where the difference is 0.

    Raises:
        UserError: other splits on either side, or fewer than two groups.
    """
    if first.shape != second.shape or n_groups < 2:
        raise UserError(
            f"expected exponents of the same splits of at least 2 groups; got {list(first.shape)} and "
            f"{list(second.shape)} of {n_groups}; measure both on the same documents with the same seed"
        )
    splits = DocumentSplits(differences[0], second - first, n_groups)
    sd, half = splits.sd, splits.half_width(confidence)
    low, high = min(differences), max(differences)
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    p = 2 * float(t.sf(nearest / sd, n_groups - 1)) if sd > 0 else float(nearest == 0)
    return Score(differences[0], low - half, high + half, n_documents), p
