"""The untrained network with transcoders of its own in place of its MLPs: what of agreement is not training's work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_codes.lenses.replacement.rows import ALL_LAYERS, ReplacementResults, UntrainedReplacement
from llm_codes.lenses.replacement.stand_ins import UntrainedStandIns, references
from llm_codes.lenses.saes.shipped import shipped_result
from llm_codes.models import Model

Measure = Callable[[Model, Any], ReplacementResults]
"""The study of a model with these transcoders in place of its MLPs."""


def untrained_replacement(
    opened: UntrainedStandIns | None, made_from: Mapping[str, str], measure: Measure
) -> UntrainedReplacement | None:
    """All layers of the untrained network replaced at once: measured, or the results that ship.

    opened: none: the results that ship with the embedded model, if they were made from the same (`made_from`).
    """
    if opened is None:
        return shipped_result("replacement", made_from, UntrainedReplacement)
    rows = measure(opened.model, references(opened.stand_ins)).replacements
    whole = tuple(row for row in rows if row.layer == ALL_LAYERS)
    return UntrainedReplacement(dict(made_from), opened.stand_ins.sha256, whole)
