"""The statement of [MK Fig. 7b] about explanation scores by depth, judged against the untrained model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from eval.claims import Claim
from eval.explanation.comparison.statistics import difference, grouped
from eval.explanation.results import UnitResult
from eval.scores import Score
from eval.verdicts import above, below, corrected, judged_claim


def depth_claims(results: Sequence[UnitResult], n_layers: int, **options: Any) -> list[Claim]:
    """[MK Fig. 7b]: neuron scores fall until two thirds of the depth and rise again; projections do the inverse.

    Tested as differences of layer means: first layer against the one nearest to two thirds of the depth, and the last
    layer against that one. The interval decides, and has to lie clear of the same difference in the untrained model;
    without that control no statement holds. Layers that were not run are left out with a note.
    """
    groups = grouped(results)
    claims = []
    sides: tuple[tuple[str, Literal["above", "below"]], ...] = (("neuron", "above"), ("random", "below"))
    for kind, side in sides:
        layers = sorted(layer for found, layer in groups if found == kind)
        if len(layers) < 3:
            continue
        middle = min(layers[1:-1], key=lambda layer: abs(layer - 2 * (n_layers - 1) / 3))
        for end, word in ((layers[0], "first"), (layers[-1], "last")):
            score, _ = difference(groups[kind, end], groups[kind, middle], **options)
            control = f"{kind} (untrained)"
            controls: dict[str, Score] = {}
            if (control, end) in groups and (control, middle) in groups:
                controls["untrained"] = difference(groups[control, end], groups[control, middle], **options)[0]
            claims.append(
                judged_claim(
                    f"{kind} scores: the {word} layer lies {side} two thirds of the depth",
                    "MK Fig. 7b",
                    f"score(layer {end}) - score(layer {middle}) {'>' if side == 'above' else '<'} 0, "
                    "clear of the untrained model's",
                    score,
                    above(0.0) if side == "above" else below(0.0),
                    controls=controls,
                    family="explanation scores by depth",
                    units="score",
                )
            )
    return corrected(claims)
