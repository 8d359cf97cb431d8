"""The claim on the spectra of known codes, judged."""

from __future__ import annotations

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import judged_claim, near
from toy.spectra.results import ToyCode, ToySpectraResult
from toy.spectra.study import N_DRAWS

MARGIN = 0.2
"""Equivalence margin of the ratio: the mean of 200 draws is itself known to about 5% to 10%."""


def judge(found: ToySpectraResult) -> list[Claim]:
    """The sampled action of random projections against the corrected closed form."""
    worst = max((_ratio(row) for row in found.models), key=lambda score: abs((score.value or 0.0) - 1))
    return [
        judged_claim(
            "The action of random projections of toy codes is 3/(2 m dt) sum |dA|^2",
            "Marshall & Kirchner 2023 (MK) eq. 4, corrected: second moment of differences",
            "sampled/closed form = 1",
            worst,
            near(1.0, MARGIN),
            tolerance=MARGIN,
            kind="theorem",
            note=f"farthest of the models; {N_DRAWS} projections each",
            units="ratio",
        )
    ]


def _ratio(row: ToyCode) -> Score:
    ratio, half = (
        value / row.expected_action for value in (row.sampled_action, 1.96 * row.sampled_action_standard_error)
    )
    return Score(ratio, ratio - half, ratio + half, N_DRAWS)
