"""The claims on the spectra of known codes, judged."""

from __future__ import annotations

from eval.claims import Claim
from toy.spectra.results import ToySpectraResult


def judge(found: ToySpectraResult) -> list[Claim]:
    """The sampled action of random projections against the corrected closed form."""
    worst = max(found.models, key=lambda row: abs(row.sampled_action / row.expected_action - 1))
    ratio = worst.sampled_action / worst.expected_action
    return [
        Claim(
            claim="The action of random projections of toy codes is 3/(2 m dt) sum |dA|^2",
            source="Marshall & Kirchner 2023 (MK) eq. 4, corrected: second moment of differences",
            prediction="sampled/closed form = 1",
            measured=ratio,
            tolerance=0.1,
            kind="theorem",
            verdict="holds" if abs(ratio - 1) <= 0.1 else "fails",
            seeds=1,
            n=200,
            note="farthest of the models; 200 projections each",
        )
    ]
