"""The verdicts of the polytope lens: each holds above its control, fails below it, and is undecided without one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from eval.claims import Claim
from eval.scores import Score
from llm_codes.lenses.polytopes.claims import of_clusters, of_density, of_maps, of_rays
from llm_codes.lenses.polytopes.control import Measured
from llm_codes.lenses.polytopes.meaning import ACTIVATIONS, CODES, NEURONS, NMF, RANDOM, Meaning, less_controls
from llm_codes.lenses.polytopes.rows import Contrast
from tests.verdicts import claim_with

ALSO = "holds, and so does its control"
HIGH, MIDDLE, LOW = Score(0.9, 0.85, 0.95), Score(0.7, 0.65, 0.75), Score(0.1, 0.05, 0.15)
NEGATIVE = Score(-0.3, -0.4, -0.2)
CONTRAST = {"next token": Contrast(HIGH, HIGH)}
OWN = Measured(HIGH, HIGH, HIGH, HIGH, "note", CONTRAST, HIGH)
CONTROL = Measured(LOW, LOW, LOW, LOW, "note", {"next token": Contrast(LOW, LOW)}, LOW)


def test_polysemantic_directions():
    def verdict(own: Score, control: Score | None) -> str:
        other = None if control is None else replace(CONTROL, overlap=control)
        return claim_with(of_clusters(replace(OWN, overlap=own), other), "polysemantic directions").verdict

    assert verdict(HIGH, LOW) == "holds"
    assert verdict(NEGATIVE, LOW) == "fails"
    assert verdict(MIDDLE, HIGH) == verdict(HIGH, HIGH) == ALSO
    assert verdict(HIGH, None) == "cannot tell"


def meaning(of: str, **scores: Score) -> tuple[Meaning, ...]:
    named = {of: scores.get("own", HIGH), RANDOM: scores.get("random", LOW), NEURONS: scores.get("neurons", LOW)}
    return tuple(Meaning(name, label, 40, one, one) for label in ("token", "next token") for name, one in named.items())


@pytest.mark.parametrize("of", [CODES, ACTIVATIONS, NMF])
def test_clusters_and_directions_must_be_clear_of_every_control(of: str):
    def verdicts(untrained: Score | None = LOW, **scores: Score) -> set[str]:
        own = replace(OWN, meaning=meaning(of, **scores))
        control = None if untrained is None else replace(CONTROL, meaning=meaning(of, own=untrained))
        return {claim.verdict for claim in of_clusters(own, control) if claim.claim.startswith(of)}

    assert verdicts() == {"holds"}
    assert verdicts(own=NEGATIVE) == {"fails"}
    assert verdicts(random=HIGH) == verdicts(neurons=HIGH) == verdicts(untrained=HIGH) == {ALSO}
    assert verdicts(untrained=None) == {"cannot tell"}
    assert verdicts(untrained=Score.undefined("no cluster")) == {"cannot tell"}


def test_minus_every_control_with_the_interval_of_the_difference():
    rows = less_controls(meaning(CODES), meaning(CODES, own=MIDDLE))
    assert [(row.label, row.minus) for row in rows[:3]] == [
        ("token", "random directions"), ("token", "neurons"), ("token", "untrained")
    ]  # fmt: skip
    assert rows[2].fixed.value == pytest.approx(0.2) and rows[2].fixed.low == pytest.approx(0.2 - 0.05 * 2**0.5)


@pytest.mark.parametrize(("words", "field"), [("exceeds density within", "contrast"), ("grows with depth", "trend")])
def test_density(words: str, field: str):
    def verdict(own: Score, control: Score | None) -> str:
        one = cast(Any, replace)(CONTRAST["next token"], **{field: own})
        other = {} if control is None else {"next token": cast(Any, replace)(Contrast(HIGH, HIGH), **{field: control})}
        return claim_with(of_density({"next token": one}, other), words).verdict

    assert verdict(HIGH, LOW) == "holds"
    assert verdict(NEGATIVE, LOW) == "fails"
    assert verdict(MIDDLE, HIGH) == verdict(HIGH, HIGH) == ALSO
    assert verdict(HIGH, None) == "cannot tell"


def test_maps_need_a_correlation_above_one_half_and_above_the_control():
    assert of_maps(HIGH, LOW).verdict == "holds"
    assert of_maps(LOW, NEGATIVE).verdict == "fails"
    assert of_maps(MIDDLE, HIGH).verdict == ALSO
    assert of_maps(Score(0.52, 0.4, 0.6), LOW).verdict == of_maps(HIGH).verdict == "cannot tell"


@dataclass(frozen=True)
class Ray:
    """What `of_rays` asks of rays."""

    peak: Score = HIGH
    change: Score = HIGH
    above: Score = HIGH
    sparser: Score = HIGH

    def peak_before(self, seed: int) -> Score:
        return self.peak

    def changes_beyond(self, seed: int) -> Score:
        return self.change

    def changes_above(self, control: Any, seed: int) -> Score:
        return self.above

    def sparser_beyond(self, seed: int) -> Score:
        return self.sparser


def ray_claims(
    trained: Ray,
    control: Ray | None = None,
    gap: Score | None = None,
    beside: Score | None = None,
    untrained: Ray | None = None,
) -> list[Claim]:
    rays = {"trained": trained, "matched noise": control or Ray(peak=LOW)}
    rays |= {} if untrained is None else {"untrained": untrained}
    return of_rays(cast(Any, rays), gap, beside, 0)


@pytest.mark.parametrize(
    ("trained", "control", "verdict"),
    [
        (Ray(), Ray(peak=LOW), "holds"),
        (Ray(), Ray(peak=HIGH), ALSO),
        (Ray(peak=MIDDLE), Ray(peak=HIGH), ALSO),
        (Ray(peak=LOW), Ray(peak=NEGATIVE), "fails"),
    ],
)
def test_density_peaks_before_the_activation(trained: Ray, control: Ray, verdict: str):
    assert claim_with(ray_claims(trained, control), "density peaks").verdict == verdict


@pytest.mark.parametrize(
    ("trained", "untrained", "verdict"),
    [
        (Ray(), Ray(above=LOW), "holds"),
        (Ray(sparser=Score(0.3, 0.2, 0.4)), Ray(above=LOW), "holds"),
        (Ray(above=NEGATIVE), Ray(above=LOW), "fails"),
        (Ray(sparser=NEGATIVE), Ray(above=LOW), "fails"),
        (Ray(above=Score(0.0, -0.1, 0.1)), Ray(above=LOW), "cannot tell"),
        (Ray(), Ray(above=HIGH), ALSO),
        (Ray(), None, "cannot tell"),
    ],
)
def test_the_token_changes_beyond_more_than_in_the_untrained_network(trained: Ray, untrained: Ray | None, verdict: str):
    """Both are measured minus the same matched noise; without the untrained network nothing can hold."""
    assert claim_with(ray_claims(trained, untrained=untrained), "still changes beyond").verdict == verdict


@pytest.mark.parametrize(
    ("gap", "beside", "verdict"),
    [
        (NEGATIVE, LOW, "holds"),
        (HIGH, NEGATIVE, "fails"),
        (Score(0.2, 0.1, 0.3), HIGH, "fails"),
        (NEGATIVE, Score(-0.9, -1.0, -0.8), ALSO),
        (NEGATIVE, None, "cannot tell"),
    ],
)
def test_principal_directions_cross_fewer_boundaries(gap: Score, beside: Score | None, verdict: str):
    assert claim_with(ray_claims(Ray(), gap=gap, beside=beside), "principal directions").verdict == verdict


def test_without_rays_there_is_no_claim_on_them():
    assert of_rays({}, HIGH, LOW, 0) == []


def test_the_note_of_the_maps_says_how_or_why_not():
    assert of_maps(HIGH, LOW).note.startswith("gate maps of the first coded block")
    assert "too few pairs" in of_maps(Score.undefined("too few pairs"), LOW).note
    assert "gate maps" not in of_maps(Score.undefined("too few pairs"), LOW).note


def test_factors_turn_out_and_clusters_are_monosemantic():
    def words(of: str) -> str:
        return of_clusters(replace(OWN, meaning=meaning(of)), replace(CONTROL, meaning=meaning(of)))[0].claim

    assert words(NMF) == f"{NMF} turn out monosemantic (token)" and words(CODES) == f"{CODES} are monosemantic (token)"
