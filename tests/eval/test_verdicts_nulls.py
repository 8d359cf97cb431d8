"""Simulated nulls of every test and interval that verdicts rest on: 200 draws of a world in which nothing is there.

A test at .05 may cry out in so many of them that the binomial lower bound of the share is at most .05, and all tests
together in at most .06; an interval of 95% covers the truth in at least .90.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from eval.claims import Claim
from eval.experiment import claim_over_seeds, mean_score
from eval.explanation.comparison.statistics import sign_flip_p
from eval.measures.codes.class_density import ClassDensity, class_density
from eval.measures.statistics.binomial import binomial_share
from eval.measures.statistics.rank_correlation import image_rank_correlation, rank_correlation
from eval.measures.statistics.resampling import (
    benjamini_hochberg,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_share,
    bootstrap_two_way,
    holm,
    permutation_p,
    permutation_test,
)
from eval.measures.statistics.small_samples import studentised_mean, studentised_permutation_test
from eval.scores import Score
from eval.verdicts import above, corrected, difference, judged_claim, near, verdict_on

DRAWS = 200
LEVEL, POOLED, COVERAGE = 0.05, 0.06, 0.90
Generator = np.random.Generator


def excludes(score: Score, truth: float) -> bool:
    """Does the interval say that the truth is elsewhere? One that is undefined says nothing."""
    return score.low is not None and score.high is not None and not score.low <= truth <= score.high


INTERVALS: dict[str, tuple[Callable[[Generator, int], Score], float]] = {
    "seeds, Student's t": (lambda g, s: mean_score(g.normal(size=5).tolist()), 0.0),
    "30 documents, skewed, BCa": (lambda g, s: bootstrap_mean(g.exponential(size=30), n_resamples=500, seed=s), 1.0),
    "10 units, BCa": (lambda g, s: bootstrap_mean(g.normal(size=10), minimum_groups=10, n_resamples=500, seed=s), 0.0),
    "pooled ratio of 25 documents": (lambda g, s: ratio_of(g, s), 2.0),
    "share of 30 documents": (lambda g, s: share_of_hits(g.random(30) < 0.4, s), 0.4),
    "rare share of 40 clusters": (lambda g, s: share_of_hits(g.random(40) < 0.05, s), 0.05),
    "share, exact": (lambda g, s: binomial_share(int(g.binomial(40, 0.1)), 40), 0.1),
    "units by documents": (lambda g, s: two_way_of(g, s), 0.0),
    "rank correlation over documents": (lambda g, s: correlation_of(g, s), 0.0),
    "rank correlation over images": (lambda g, s: images_of(g, s), 0.0),
    "density ratio over ten classes": (lambda g, s: labelled(g, s).ratio, 1.0),
    "8 skewed values, bootstrap-t": (lambda g, s: studentised_mean(g.beta(2, 5, 8), n_resamples=500, seed=s), 2 / 7),
    "difference of two intervals": (lambda g, s: difference_of(g, s), 0.0),
}  # fmt: skip
"""By name: a draw, and what it is a draw of."""


def share_of_hits(hits: np.ndarray, seed: int) -> Score:
    return bootstrap_share(hits.astype(float), n_resamples=500, minimum_groups=8, seed=seed)


def ratio_of(g: Generator, seed: int) -> Score:
    below = g.integers(5, 60, 25).astype(float)
    return bootstrap_ratio(below * (2 + g.normal(size=25)), below, n_resamples=500, seed=seed)


def two_way_of(g: Generator, seed: int) -> Score:
    values = g.normal(size=(15, 1)) + g.normal(size=(1, 25)) + g.normal(size=(15, 25))
    return bootstrap_two_way(values, n_resamples=500, seed=seed)


def correlation_of(g: Generator, seed: int) -> Score:
    groups = np.repeat(np.arange(30), 4)
    return rank_correlation(g.normal(size=120), g.normal(size=120), groups, seed)


def images_of(g: Generator, seed: int) -> Score:
    """Distances in two codes of 24 images that know nothing of each other."""
    first, second = (np.linalg.norm(x[:, None] - x[None], axis=2) for x in g.normal(size=(2, 24, 6)))
    return image_rank_correlation(first, second, seed)


def difference_of(g: Generator, seed: int) -> Score:
    return difference(*(bootstrap_mean(g.exponential(size=n), n_resamples=500, seed=seed) for n in (30, 60)))


TESTS: dict[str, Callable[[Generator, int], bool]] = {
    "permutation of two samples": lambda g, s: permutation_test(
        g.normal(size=12), g.normal(size=20), n_resamples=300, seed=s) <= LEVEL,
    "permutation within strata": lambda g, s: stratified(g, s) <= LEVEL,
    "studentised permutation, unequal": lambda g, s: studentised_permutation_test(
        g.normal(0, 0.3, 10), g.normal(0, 0.1, 30), n_resamples=300, seed=s) <= LEVEL,
    "class labels of codes": lambda g, s: classes(g, s) <= LEVEL,
    "signs of pairs": lambda g, s: sign_flip_p(g.normal(size=12), n_resamples=300, seed=s) <= LEVEL,
    "paired seeds": lambda g, s: decided(paired(g)),
    "over seeds": lambda g, s: decided(over_five(g.normal(size=5))),
    "Holm, 17 statements": lambda g, s: bool((holm(g.random(17)) <= LEVEL).any()),
    "false discovery rate, 17 statements": lambda g, s: bool((benjamini_hochberg(g.random(17)) <= LEVEL).any()),
    "a family of claims": lambda g, s: any(map(decided, corrected([of_interval(g) for _ in range(8)]))),
    "a family of claims on 12 units": lambda g, s: any(map(decided, corrected([of_interval(g, 12) for _ in range(8)]))),
    "equivalence, at its margin": lambda g, s: equivalence(g) == "holds",
    "a control that is the same": lambda g, s: same_control(g) == "holds",
}  # fmt: skip


def stratified(g: Generator, seed: int) -> float:
    strata, labels = np.repeat(np.arange(5), 8), np.tile([0.0, 1.0], 20)
    values = 3 * strata + g.normal(size=40)
    return permutation_p(lambda drawn: (2 * drawn - 1) @ values, labels, strata=strata, n_resamples=300, seed=seed)


def classes(g: Generator, seed: int) -> float:
    return labelled(g, seed).p


def labelled(g: Generator, seed: int) -> ClassDensity:
    """Codes and places of 30 images of ten classes that neither knows of."""
    bits, places = g.integers(0, 2, (30, 40)), g.normal(size=(30, 6))
    distance = (bits[:, None] != bits[None]).sum(2)
    length = np.linalg.norm(places[:, None] - places[None], axis=2)
    return class_density(distance, length, np.repeat(np.arange(10), 3), seed=seed, n_resamples=300)


def over_five(values: np.ndarray) -> Claim:
    return claim_over_seeds("c", "s", "p", mean_score(values.tolist()), above(0.0), controls={})


def paired(g: Generator) -> Claim:
    """Two conditions of the same five networks, which differ much from each other."""
    start = 10 * g.normal(size=5)
    return over_five((start + g.normal(size=5)) - (start + g.normal(size=5)))


def of_interval(g: Generator, n: int = 40) -> Claim:
    values = g.normal(size=n)
    score = bootstrap_mean(values, n_resamples=300, minimum_groups=10, seed=int(g.integers(2**31)))
    return judged_claim("c", "s", "p", score, above(0.0), controls={"none": Score.exact(-9.0)}, family="one")


def decided(claim: Claim) -> bool:
    return claim.p is not None and claim.p <= LEVEL and (claim.uncorrected is None or claim.verdict != "cannot tell")


def equivalence(g: Generator) -> str:
    """The true number lies at the end of the margin."""
    score = mean_score((0.2 + 0.1 * g.normal(size=8)).tolist())
    return verdict_on(score, near(0.0, 0.2))


def same_control(g: Generator) -> str:
    """Both have what is predicted, by the same amount."""
    own, control = (bootstrap_mean(1 + 0.5 * g.normal(size=30), n_resamples=300, seed=1) for _ in range(2))
    return verdict_on(own, above(0.0), {"control": control})


def share_of(draw: Callable[[Generator, int], bool], name: str) -> int:
    generator = np.random.default_rng(sum(map(ord, name)))
    return sum(draw(generator, number) for number in range(DRAWS))


INTERVAL_NAMES, TEST_NAMES = list(INTERVALS), list(TESTS)
COUNTS: dict[str, int] = {}


@pytest.mark.parametrize("name", INTERVAL_NAMES)
def test_an_interval_covers_the_truth(name: str) -> None:
    draw, truth = INTERVALS[name]
    missed = share_of(lambda g, s: excludes(draw(g, s), truth), name)
    assert 1 - missed / DRAWS >= COVERAGE, f"{name}: covers {1 - missed / DRAWS:.3f}"
    COUNTS[f"interval: {name}"] = missed


@pytest.mark.parametrize("name", TEST_NAMES)
def test_a_test_keeps_its_level(name: str) -> None:
    COUNTS[name] = share_of(TESTS[name], name)
    low = binomial_share(COUNTS[name], DRAWS).low
    assert low is not None and low <= LEVEL, f"{name}: {COUNTS[name]} of {DRAWS}"


def test_all_tests_together_keep_it_nearly() -> None:
    for name in TEST_NAMES:
        if name not in COUNTS:
            COUNTS[name] = share_of(TESTS[name], name)
    pooled = sum(COUNTS[name] for name in TEST_NAMES) / (DRAWS * len(TEST_NAMES))
    assert pooled <= POOLED, f"{pooled:.3f} of {len(TEST_NAMES)} tests: {COUNTS}"
