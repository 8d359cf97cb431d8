"""The verdict on the closed form of the action holds within 10% and fails beyond, on either side."""

from __future__ import annotations

import pytest

from eval.scores import Score
from toy.spectra.claims import judge
from toy.spectra.results import ToyCode, ToySpectraResult


def code(ratio: float) -> ToyCode:
    return ToyCode(
        "trained", 0.5, 1.0, (1.0,), Score(-1.0), Score(1.0), Score(1.0), 2.0, 2.0 * ratio, 1.0, 1.0, 0.5, Score(1.0)
    )


@pytest.mark.parametrize(
    ("ratios", "verdict"), [((1.0, 1.09, 0.95), "holds"), ((1.0, 1.12), "fails"), ((0.88, 1.05), "fails")]
)
def test_the_farthest_model_decides(ratios: tuple[float, ...], verdict: str):
    (claim,) = judge(ToySpectraResult(tuple(map(code, ratios)), 10, 4))
    assert claim.verdict == verdict and claim.kind == "theorem"
