"""The units of one kind, layer and condition as a piece of a run: scored once, read back where they are finished.

A group with a missing prediction is not kept: it is asked for again when the same command continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eval.explanation.drafts import Draft
from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.rescoring.predictions import table_bytes, table_of
from eval.explanation.results import UnitResult
from eval.explanation.scoring.interventions import Steering
from eval.explanation.servers.journal import content_hash
from eval.progress import progress
from eval.results import Result, result
from eval.runs import Run
from llm_codes.lenses.explain.backends import Parts
from llm_codes.lenses.explain.recording import Recorded

Name = tuple[str, str, int]
"""(condition, kind, layer)."""
PREDICTIONS = "parquet"
"""Key of the array that holds a group's predictions: the bytes of a Parquet file."""


@result
class _Group(Result):
    units: tuple[UnitResult, ...]


class _Incomplete(Exception):
    """Carries results that are not to be kept, past the item that would keep them."""

    def __init__(self, value: Any, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.value, self.arrays = value, arrays


def finished_group(
    run: Run | None,
    group: Name,
    compute: Callable[..., list[UnitResult]],
    *,
    keep_predictions: bool,
    members: Sequence[int] = (),
) -> tuple[list[UnitResult], list[np.ndarray]]:
    """The results of a group, and its predictions (none, or one table as bytes), read back where they are kept.

    compute: gives the results; takes `keep`, which is handed the drafts. members: which units of the group, by number,
    where not all of them are scored at once.
    """
    name = "-".join(["explain", group[0], group[1], "layer", str(group[2])])
    if members:
        name += f"-units-{content_hash(list(members))[:16]}"
    tables: list[np.ndarray] = []

    def whole() -> tuple[Any, dict[str, np.ndarray]]:
        keep = (lambda drafts: tables.append(table_bytes(table_of(drafts)))) if keep_predictions else None
        units = compute(keep=keep)
        value, arrays = _Group(tuple(units)).to_json(), {PREDICTIONS: tables[0]} if tables else {}
        if any(unit.missing for unit in units):
            raise _Incomplete(value, arrays)
        return value, arrays

    of = ("llm_codes.lenses.explain.study",)
    try:
        if run is None:
            value, arrays = whole()
        elif keep_predictions:
            value, arrays = run.item_with_arrays(name, whole, of=of)
        else:
            value, arrays = run.item(name, lambda: whole()[0], of=of), {}
    except _Incomplete as incomplete:
        value, arrays = incomplete.value, incomplete.arrays
    return list(_Group.from_json(value).units), list(arrays.values())


def score_group(
    recorded: Callable[[], Recorded],
    condition: str,
    kind: str,
    layer: int,
    parts: Parts,
    settings: Settings,
    keep: Callable[[Sequence[Draft]], None] | None = None,
    members: Sequence[int] = (),
    steering: Steering | None = None,
) -> list[UnitResult]:
    """Explain, simulate and score the units of one group (members: some of them, by number)."""
    book = recorded().books[condition]
    if not members:
        members = [place for place, unit in enumerate(book.units) if (unit.family, unit.layer) == (kind, layer)]

    def show(items: Iterable[Any], label: str) -> Iterable[Any]:
        return progress(items, label=f"{label}, {kind}, layer {layer}", unit="unit")

    return explain_and_score(
        book,
        parts.explainer,
        parts.simulator,
        units=members,
        condition=condition,
        judge=parts.judge,
        settings=settings,
        show=show,
        keep=keep,
        steering=steering,
    )


def ask_ahead(
    recorded: Recorded, condition: str, parts: Parts, settings: Settings, steering: Steering | None = None
) -> None:
    """Ask everything about all units of a condition, so that few large batches are sent instead of many small ones.

    The answers are in the journal afterwards; the groups find them there.
    """
    quick = replace(settings, n_resamples=2, lengths=False, against=())
    explain_and_score(
        recorded.books[condition], parts.explainer, parts.simulator,
        condition=condition, judge=parts.judge, settings=quick, steering=steering,
    )  # fmt: skip
