"""The claims on incidental polysemanticity, judged by the one rule of `eval.verdicts`.

Both laws of the count are held to the same margin, a share of the law stated beforehand, and the difference of their
errors stands beside. Controls come from the same objects: initial weights, rows that stay as they started, noise
of the same strength without the kurtosis in question, and the initial weights of another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eval.claims import Claim, Kind
from eval.experiment import claim_over_seeds, mean_of_defined
from eval.measures.statistics.binomial import binomial_share
from eval.scores import Score
from eval.verdicts import Region, above, below, corrected, judged_claim, near
from toy.incidental.dynamics import LAW_BAND
from toy.incidental.results import DecayRate, IncidentalResult, Initialisation, NoiseNorm, PolysemanticCount, RowNorm

CONVERGENCE_GATE = 0.95
LAW_SHARE = 0.15
"""Equivalence margin of either law of the count, as a share of the law."""
ROW_BAND = Region(*LAW_BAND)
ROW_SHARE = 0.9
"""Share of single rows that must stay inside the band for `every` to hold: with 36 rows or more it can be told."""
SAME_SIGN = 0.02
"""Share of polysemantic neurons that counts as none."""
RATE_MARGIN = 0.1
"""How far the exponent of a rate may lie from 1 and still count as proportional."""
NOISE_MARGIN = 0.02
"""How far the fourth norm may move and still count as left alone."""
SOURCE = "Lecomte et al. 2023 (incidental polysemanticity)"


def judge(found: IncidentalResult) -> list[Claim]:
    """The four results of the post."""
    laws = [claim for row in found.counts for claim in _count_claims(row)]
    claims = [*laws, _sign_claim(found.counts), *_row_claims(found.row), _rate_claim(found.rates)]
    return corrected([*claims, *_noise_claims(found.noise), *_start_claims(found.initialisation)])


def _count_claims(row: PolysemanticCount) -> list[Claim]:
    """Both laws under one rule, with the difference of their errors beside."""
    name = f"(n, m) = ({row.n_features}, {row.n_hidden})"
    score = _gated(replace(row.mean, n=row.seeds), row.converged)
    laws: list[tuple[float, str, str, str, Kind]] = [
        (row.occupancy, f"Polysemantic neurons at {name} follow chance (occupancy law)", "exact law here",
         f"{row.occupancy:.3g} = m[1-2(1-1/2m)^n+(1-1/m)^n]", "prediction of ours"),
        (row.leading_order, f"Polysemantic neurons at {name} number n^2/4m, as printed", "leading order",
         f"{row.leading_order:.3g} = n^2/4m", "statement of a source"),
    ]  # fmt: skip
    nearer = error_difference(score, row.leading_order, row.occupancy)
    return [
        claim_over_seeds(
            words,
            f"{SOURCE}, counts; {source}",
            prediction,
            score,
            near(law, LAW_SHARE * law),
            controls={"untrained": row.untrained},
            kind=kind,
            tolerance=LAW_SHARE * law,
            family="incidental polysemanticity: counts",
            note=f"error of n^2/4m less that of the occupancy law {nearer}; convergence gate {row.converged:.1%}",
            units="neurons",
        )
        for law, words, source, prediction, kind in laws
    ]


def _gated(score: Score, converged: float) -> Score:
    """Models that have not converged decide nothing: their score loses its interval, for that reason."""
    if converged > CONVERGENCE_GATE:
        return score
    reason = f"not converged: {converged:.1%} of features on exactly one neuron"
    return Score(score.value, n=score.n, reason=score.reason, interval_reason=reason)


def error_difference(score: Score, rival: float, law: float) -> Score:
    """``|measured - rival| - |measured - law|``: above 0 where the law is nearer. It never rises with `measured` while
    the rival is the larger, so the interval of the one is that of the other, end for end."""

    def of(value: float) -> float:
        return abs(value - rival) - abs(value - law)

    if score.value is None or score.low is None or score.high is None:
        return replace(score, value=None if score.value is None else of(score.value))
    low, high = sorted((of(score.low), of(score.high)))
    return Score(of(score.value), low, high, score.n)


def _sign_claim(counts: Sequence[PolysemanticCount]) -> Claim:
    """Over all sizes together: models are independent, and a polysemantic neuron is one trial."""
    shared = sum(row.shared for row in counts)
    unknown = Score.undefined("no neuron is polysemantic in these models", 0)

    def share(hits: int) -> Score:
        return binomial_share(hits, shared) if shared else unknown

    by_chance = share(min(shared, sum(row.same_sign_by_chance for row in counts)))
    return judged_claim(
        "Two weights of one sign never share a neuron",
        f"{SOURCE}, worked solution: weights of opposite sign",
        f"share of polysemantic neurons with two weights of one sign below {SAME_SIGN}",
        share(sum(row.same_sign for row in counts)),
        below(SAME_SIGN),
        controls={"signs at random": by_chance},
        family="incidental polysemanticity: counts",
        note="exact interval over polysemantic neurons of all models; near one: magnitude .8 to 1.2",
        units="share, 0 to 1",
    )


def rate_exponents(rates: Sequence[DecayRate], shift: int = 0) -> list[float | None]:
    """Of every model the b of rate ~ lambda^b, by least squares on logarithms; shift: with the lambdas moved round.

    `None` where a rate is not positive or there is one lambda only.
    """
    lambdas = [rates[(index + shift) % len(rates)].l1 for index in range(len(rates))]
    models = zip(*(rate.by_seed for rate in rates), strict=True)
    defined = len(set(lambdas)) > 1
    return [float(np.polyfit(np.log(lambdas), np.log(m), 1)[0]) if defined and min(m) > 0 else None for m in models]


def _rate_claim(rates: Sequence[DecayRate]) -> Claim:
    none = "no model loses L1 norm at two lambdas"
    return claim_over_seeds(
        "The L1 norm decays at a rate proportional to lambda, in trained models",
        f"{SOURCE}, L1 decay",
        f"b of rate ~ lambda^b within {RATE_MARGIN} of 1",
        mean_of_defined(rate_exponents(rates), none),
        near(1.0, RATE_MARGIN),
        controls={"lambdas moved round": mean_of_defined(rate_exponents(rates, 1), none)},
        tolerance=RATE_MARGIN,
        family="incidental polysemanticity: L1 decay",
        note="growth of 1/||w||_1 a unit of time over lambda: "
        + ", ".join(f"{(rate.mean.value or 0.0) / rate.l1:.3g} at {rate.l1:g}" for rate in rates),
        units="exponent",
    )


def _row_claims(row: RowNorm) -> list[Claim]:
    band = "in [.85, 1.5] for .003 <= lambda t <= 1"
    low, high = row.mean_range
    inside, still = (
        binomial_share(round(share * row.seeds), row.seeds)
        for share in (row.rows_always_inside, row.untrained_always_inside)
    )
    return [
        claim_over_seeds(
            "A row's L1 norm decays as 1/(1/sqrt(m) + lambda t), mean over rows",
            f"{SOURCE}, L1 decay",
            f"mean of ||w||_1 (1/sqrt(m) + lambda t) {band}",
            replace(row.mean_path, n=row.seeds),
            ROW_BAND,
            controls={"untrained rows": row.mean_path_untrained},
            family="incidental polysemanticity: L1 decay",
            note=f"the mean ranges over [{low:.3g}, {high:.3g}], m={row.n_hidden}; interval: hull over all times",
            units="ratio",
        ),
        judged_claim(
            "... and so for nearly every single row",
            f"{SOURCE}, L1 decay, read row by row",
            f"share of rows always {band} above {ROW_SHARE}",
            inside,
            above(ROW_SHARE),
            controls={"untrained rows": still},
            kind="prediction of ours",
            family="incidental polysemanticity: L1 decay",
            note=f"single rows range over [{row.single_range[0]:.3g}, {row.single_range[1]:.3g}]: late ties of two "
            f"to five weights; {row.inside:.0%} of all (row, time) points are inside",
            units="share, 0 to 1",
        ),
    ]


def _noise_claims(noises: Sequence[NoiseNorm]) -> list[Claim]:
    """The control of a noise that moves the norm is noise without excess kurtosis, and the other way round."""
    flat = {_noise_name(row): row.final for row in noises if row.excess_kurtosis == 0}
    moving = {_noise_name(row): row.final for row in noises if row.excess_kurtosis == -2}
    claims = []
    for row in noises:
        sign = (row.excess_kurtosis < 0) - (row.excess_kurtosis > 0)
        verb, word = {1: ("raises", "above"), 0: ("leaves", "at"), -1: ("lowers", "below")}[sign]
        region = {1: above, -1: below}[sign](row.isotropic) if sign else near(row.isotropic, NOISE_MARGIN)
        start = {"untrained": Score(row.fourth_norm[0])}
        claims.append(
            claim_over_seeds(
                f"{_noise_name(row)} noise {verb} the fourth norm of the rows",
                f"{SOURCE}, noise",
                f"||w||_4^4 {word} {row.isotropic:.3g} (isotropic rows)",
                replace(row.final, n=row.seeds),
                region,
                controls={**start, **flat} if sign else moving,
                tolerance=None if sign else NOISE_MARGIN,
                family="incidental polysemanticity: noise",
                note=f"excess kurtosis {row.excess_kurtosis:+.1f}; n=8, m=16, SGD, no L1",
                units="fourth power of unit rows, 0 to 1",
            )
        )
    return claims


def _noise_name(row: NoiseNorm) -> str:
    return "Student t" if row.noise == "t" else row.noise.capitalize()


def _start_claims(starts: Sequence[Initialisation]) -> list[Claim]:
    claims = []
    for start in starts:
        name = {"adamw": "AdamW", "sgd": "SGD"}[start.optimiser]
        claims += [
            claim_over_seeds(
                f"Final codes correlate with their own initial weights ({name})",
                f"{SOURCE}, initialisation",
                "diagonal of W_0 W^T less its off-diagonal above 0",
                _gated(start.excess, start.converged),
                above(0.0),
                controls={"another model's start": start.excess_other},
                family="incidental polysemanticity: initialisation",
                note=f"diagonal {start.diagonal.value or 0.0:.3f}, off-diagonal {start.off_diagonal:.3f}, deviation "
                f"{start.off_diagonal_deviation:.3f}",
                units="product of weights",
            ),
            claim_over_seeds(
                f"The initially largest weight wins ({name})",
                f"{SOURCE}, winner-take-all read literally",
                "share of features above 1/2",
                _gated(replace(start.kept, n=start.seeds), start.converged),
                above(0.5),
                controls={"another model's start": start.kept_other},
                kind="prediction of ours",
                family="incidental polysemanticity: initialisation",
                note=f"chance {start.chance:.3f}; mean initial rank of the winner {start.winner_rank:.1%} of m",
                units="share, 0 to 1",
            ),
        ]
    return claims
