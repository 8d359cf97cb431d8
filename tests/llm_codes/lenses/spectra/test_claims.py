"""The verdict on alpha says `holds`, `fails` and `cannot tell` by the intervals of every layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.scores import Score
from llm_codes.lenses.spectra.claims import claims, warnings
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra

UNDEFINED = Score.undefined("too few documents")


def spectra(*alphas: Score, kind: str = "resid_post") -> Spectra:
    numbers = (64, 1000, 15.6, 30, 0.1, 9.0, 9.0, -1.0, 0.99, 0.0, None, None)  # width ... effective_capacity
    sites = [
        SiteSpectrum(f"{layer}.{kind}", "hook", kind, layer, *numbers, alpha) for layer, alpha in enumerate(alphas)
    ]
    return Spectra(tuple(sites), {}, {}, (10, 50))


STEEP = spectra(Score(-2.0, -2.1, -1.9))
"""An untrained control that is wholly below -1."""


@pytest.mark.parametrize(
    ("alphas", "verdict"),
    [
        ((Score(-0.8, -0.9, -0.7), Score(-0.95, -1.0, -0.9)), "holds"),
        ((Score(-0.8, -0.9, -0.7), Score(-1.2, -1.3, -1.01)), "fails"),
        ((Score(-0.8, -0.9, -0.7), Score(-1.0, -1.1, -0.9)), "cannot tell"),
        ((Score(-0.8, -0.9, -0.7), Score(-0.9)), "cannot tell"),
        ((UNDEFINED, Score(-0.8, -0.9, -0.7)), "holds"),
        ((UNDEFINED, UNDEFINED), "cannot tell"),
    ],
)
def test_every_layer_must_lie_above_minus_one(alphas: tuple[Score, ...], verdict: str):
    (claim,) = claims(spectra(*alphas), STEEP)
    assert claim.verdict == verdict
    defined = [score.value for score in alphas if score.value is not None]
    assert claim.measured == (min(defined) if defined else None)


@pytest.mark.parametrize(
    ("control", "verdict"),
    [
        (Score(-0.95, -0.98, -0.92), "holds"),  # above -1 as well, and the trained network is clear of it
        (Score(-0.8, -0.9, -0.7), "holds, and so does its control"),
        (Score(-0.9, -1.1, -0.7), "cannot tell"),
    ],
)
def test_a_statement_that_random_weights_meet_less_well(control: Score, verdict: str):
    (claim,) = claims(spectra(Score(-0.8, -0.9, -0.7)), spectra(control))
    assert claim.verdict == verdict


def test_the_site_with_the_fewest_tokens_is_named():
    thin = spectra(Score(-0.8, -0.9, -0.7), Score(-0.8, -0.9, -0.7)).sites
    few = [replace(row, tokens_per_width=ratio) for row, ratio in zip(thin, (2.0, 1.0), strict=True)]
    (words,) = (text for text in warnings(few) if "tokens per component" in text)
    assert words.startswith("2 sites") and "least: 1.resid_post, N/d = 1.0" in words


def test_the_residual_stream_is_judged_where_there_is_one():
    mixed = spectra(Score(-0.8, -0.9, -0.7)).sites + spectra(Score(-2, -2.1, -1.9), kind="mlp_out").sites
    assert claims(Spectra(mixed, {}, {}, (10, 50)), STEEP)[0].verdict == "holds"
    (claim,) = claims(spectra(Score(-2, -2.1, -1.9), kind="mlp_out"))
    assert claim.verdict == "fails" and "mlp_out" in claim.claim


def test_random_weights_that_show_it_as_well_are_said():
    own = spectra(Score(-0.8, -0.9, -0.7))
    (claim,) = claims(own, spectra(Score(-0.7, -0.8, -0.6)))
    assert claim.verdict == "holds, and so does its control" and claim.controls is not None
    assert claims(own)[0].verdict == "cannot tell" and "no control was measured" in claims(own)[0].note


def test_the_worst_of_thirty_layers_at_minus_one_is_not_below_by_chance():
    generator = np.random.default_rng(0)
    failed = 0
    for _ in range(200):
        centres = -1 + 0.05 * generator.standard_normal(30)
        failed += claims(spectra(*(Score(c, c - 0.098, c + 0.098) for c in centres)))[0].verdict == "fails"
    assert failed / 200 <= 0.06  # 53% without the correction
