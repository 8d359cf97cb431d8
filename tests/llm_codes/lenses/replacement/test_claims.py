"""The verdicts of the replacement model: above linear maps and above shuffled features, or not."""

from __future__ import annotations

import pytest

from eval.scores import Score
from llm_codes.lenses.replacement.claims import claims_of
from llm_codes.lenses.replacement.outputs import LINEAR, MEANS, SHUFFLED, TRANSCODERS, VARIANTS
from llm_codes.lenses.replacement.rows import ALL_LAYERS, ReplacementResults, ReplacementRow, UntrainedReplacement
from tests.verdicts import claim_with


def found(kl: dict[str, float], top1: dict[str, float], untrained: bool = True) -> ReplacementResults:
    """Scores of all layers, each with a narrow interval."""

    def score(value: float) -> Score:
        return Score(value, value - 0.02, value + 0.02, 40)

    rows = []
    for name in VARIANTS:
        below = Score.exact(0.0, 40) if name == LINEAR else score(kl[LINEAR] - kl[name])
        scores = (score(0.1), score(kl[name]), score(top1[name]), below, score(0.5), score(0.5))
        rows.append(ReplacementRow(name, ALL_LAYERS, *scores))
    scores = (score(0.1), score(0.1), score(0.2), score(0.05), score(0.5), score(0.5))
    control = UntrainedReplacement({}, "", (ReplacementRow(TRANSCODERS, ALL_LAYERS, *scores),))
    return ReplacementResults(tuple(rows), score(3.0), 1e-6, 1000, untrained=control if untrained else None)


KL = {TRANSCODERS: 0.1, LINEAR: 0.6, SHUFFLED: 4.0, MEANS: 5.0}
TOP1 = {TRANSCODERS: 0.8, LINEAR: 0.5, SHUFFLED: 0.1, MEANS: 0.1}


@pytest.mark.parametrize(
    ("kl", "verdict"),
    [
        (KL, "holds"),
        (KL | {SHUFFLED: 0.1}, "holds, and so does its control"),
        (KL | {TRANSCODERS: 0.9}, "fails"),
        (KL | {TRANSCODERS: 0.6}, "cannot tell"),
    ],
)
def test_better_than_linear_maps_and_than_shuffled_features(kl, verdict) -> None:
    assert claim_with(claims_of(found(kl, TOP1)), "better than linear maps").verdict == verdict


@pytest.mark.parametrize(
    ("top1", "verdict"),
    [
        (TOP1, "holds"),
        (TOP1 | {LINEAR: 0.8}, "holds, and so does its control"),
        (TOP1 | {TRANSCODERS: 0.3}, "fails"),
    ],
)
def test_the_most_probable_token_stays(top1, verdict) -> None:
    assert claim_with(claims_of(found(KL, top1)), "most probable token").verdict == verdict


def test_without_the_untrained_network_neither_holds() -> None:
    claims = claims_of(found(KL, TOP1, untrained=False))
    assert {claim.verdict for claim in claims} == {"cannot tell"}
    assert all("untrained network, transcoders of its own: not measured" in claim.note for claim in claims)
