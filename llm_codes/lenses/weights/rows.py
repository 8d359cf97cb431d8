"""Results of `circuit weights`."""

from __future__ import annotations

from eval.claims import Claim
from eval.results import Result, result
from eval.scores import Score


@result
class WeightTest(Result):
    """One change in the real model. source, target: layer, position, feature. size: change in units of the source's
    activation. predicted: by each method. direct, total: change of the target's pre-activation, the MLPs between held
    or not."""

    document: int
    source: tuple[int, int, int]
    target: tuple[int, int, int]
    size: float
    predicted: dict[str, float]
    direct: float
    total: float


@result
class WeightAgreement(Result):
    """One method against interventions of one kind (direct or total). 95% intervals over documents.

    foretells: share of tests of which the method foretells a change. sign: of these, share with the sign that was
    measured, chance .5. rank: Spearman over all tests. r2: share of squared change foretold, 1 - sum (m - p)^2 / sum
    m^2 over all tests, at most 1; 0 is what foretelling no change gets. slope: of what was measured on what was
    foretold, 1 where sizes are right. r2_above_virtual: r2 less that of weights by co-activation, paired.
    """

    method: str
    measured: str
    tests: int
    foretells: float
    sign: Score
    rank: Score
    r2: Score
    slope: Score
    r2_above_virtual: Score


@result
class WeightFit(Result):
    """One method's prediction of targets on held-out documents: FVU, every target counting alike, 1: nothing.

    own: of pre-activations with the method's own weights. refitted: the same edges with weights of least squares.
    activation: of activations, refitted, below 0 counts as 0. below_virtual: `refitted` of weights by co-activation
    less this one's, paired by document. heads: share of edges that run through a head.
    """

    method: str
    own: Score
    refitted: Score
    activation: Score
    below_virtual: Score
    heads: float


@result
class WeightsResults(Result):
    """`results.json` of `circuit weights`: the two tables, and what they rest on."""

    table = "agreement"

    agreement: tuple[WeightAgreement, ...]
    fits: tuple[WeightFit, ...]
    targets: int
    edges_per_feature: int
    fit_tokens: int
    windows: int
    tests: tuple[WeightTest, ...]
    claims: tuple[Claim, ...] = ()
