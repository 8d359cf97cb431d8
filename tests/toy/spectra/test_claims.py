"""The verdict on the closed form of the action holds within 20%, interval and all, and fails beyond, on either side."""

from __future__ import annotations

import pytest

from eval.scores import Score
from toy.spectra.claims import judge
from toy.spectra.results import ToyCode, ToySpectraResult


def code(ratio: float) -> ToyCode:
    return ToyCode(
        "trained",
        0.5,
        1.0,
        (1.0,),
        Score(-1.0),
        Score(1.0),
        Score(1.0),
        2.0,
        2.0 * ratio,
        0.02,
        1.0,
        1.0,
        0.5,
        Score(1.0),
    )


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [((1.0, 1.09, 0.95), "holds"), ((1.0, 1.23), "fails"), ((0.77, 1.05), "fails"), ((1.0, 1.19), "cannot tell")],
)
def test_the_farthest_model_decides(ratios: tuple[float, ...], verdict: str):
    (claim,) = judge(ToySpectraResult(tuple(map(code, ratios)), 10, 4))
    assert claim.verdict == verdict and claim.kind == "theorem"
