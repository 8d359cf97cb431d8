"""Results of reading equations: how many outputs few terms carry."""

from __future__ import annotations

from eval.results import Result, result
from eval.scores import Score


@result
class ReadableRow(Result):
    """How many outputs few terms carry. outputs: those that fire and have edges; carried: of these, to 80% of their
    variance by at most so many terms (`terms`; "all": by all they have); share: of outputs, 95% binomial; median: of
    the variance carried, over outputs."""

    terms: str
    outputs: int
    carried: int
    share: Score
    median: float | None


@result
class Readable(Result):
    """One row for each number of terms."""

    readable: tuple[ReadableRow, ...]
