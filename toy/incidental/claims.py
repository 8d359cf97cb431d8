"""The claims on incidental polysemanticity, judged."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Claim, Verdict
from eval.experiment import separated, times, within
from toy.incidental.results import IncidentalResult, Initialisation, NoiseNorm, PolysemanticCount, RowNorm

CONVERGENCE_GATE = 0.95


SOURCE = "Lecomte et al. 2023 (incidental polysemanticity)"


def judge(found: IncidentalResult) -> list[Claim]:
    """The four results of the post."""
    claims = [_occupancy_claim(row) for row in found.counts]
    claims += [_printed_claim(row) for row in found.counts]
    return [*claims, *_row_claims(found.row), *_noise_claims(found.noise), *_start_claims(found.initialisation)]


def _name(row: PolysemanticCount) -> str:
    return f"(n, m) = ({row.n_features}, {row.n_hidden})"


def _gated(row: PolysemanticCount, verdict: Verdict) -> Verdict:
    """Counts of models that have not converged decide nothing."""
    return verdict if row.converged > CONVERGENCE_GATE else "cannot tell"


def _occupancy_claim(row: PolysemanticCount) -> Claim:
    return Claim(
        claim=f"Polysemantic neurons at {_name(row)} follow chance (occupancy law)",
        source=f"{SOURCE}, counts; exact law here",
        prediction=f"{row.occupancy:.3g} = m[1-2(1-1/2m)^n+(1-1/m)^n]",
        measured=row.mean.value,
        standard_error=row.standard_error,
        tolerance=row.tolerance,
        kind="prediction of ours",
        verdict=_gated(row, "holds" if row.agrees else "fails"),
        seeds=row.seeds,
        note=f"convergence gate {row.converged:.1%} of features on exactly one neuron",
    )


def _printed_claim(row: PolysemanticCount) -> Claim:
    tolerance = times(3, row.standard_error)
    return Claim(
        claim=f"Polysemantic neurons at {_name(row)} number n^2/4m, as printed",
        source=f"{SOURCE}, counts",
        prediction=f"{row.leading_order:.3g} = n^2/4m",
        measured=row.mean.value,
        standard_error=row.standard_error,
        tolerance=tolerance,
        verdict=_gated(row, within(row.mean.value or 0.0, row.leading_order, tolerance)),
        seeds=row.seeds,
        note="leading order of the occupancy law; too high unless n << m",
    )


def _row_claims(row: RowNorm) -> list[Claim]:
    low, high = row.mean_range
    band = "in [.85, 1.5] for .003 <= lambda t <= 1"
    seeds, source = row.seeds, f"{SOURCE}, L1 decay"
    mean = Claim(
        claim="A row's L1 norm decays as 1/(1/sqrt(m) + lambda t), mean over rows",
        source=source,
        prediction=f"mean of ||w||_1 (1/sqrt(m) + lambda t) {band}",
        measured=high,
        tolerance=0.0,
        verdict="holds" if low >= 0.85 and high <= 1.5 else "fails",
        seeds=seeds,
        note=f"the mean ranges over [{low:.3g}, {high:.3g}] (its largest value is given), m={row.n_hidden}",
    )
    single = Claim(
        claim="... and so for every single row",
        source=source,
        prediction=f"share of rows always {band}: 1",
        measured=row.rows_always_inside,
        tolerance=0.0,
        verdict="holds" if row.rows_always_inside == 1 else "fails",
        seeds=seeds,
        note=f"single rows range over [{row.single_range[0]:.3g}, {row.single_range[1]:.3g}]: late ties of two "
        f"to five weights; {row.inside:.0%} of all (row, time) points are inside",
    )
    return [mean, single]


def _noise_claims(noises: Sequence[NoiseNorm]) -> list[Claim]:
    claims = []
    for row in noises:
        sign = (row.excess_kurtosis < 0) - (row.excess_kurtosis > 0)
        change, error = (row.final.value or 0.0) - row.isotropic, row.standard_error
        tolerance = None if error is None else max(3 * error, 0.02) if sign == 0 else 3 * error
        words = {1: "raises", 0: "leaves", -1: "lowers"}[sign]
        verdict = within(change, 0, tolerance) if sign == 0 else separated(sign * change, error)
        name = "Student t" if row.noise == "t" else row.noise.capitalize()
        claims.append(
            Claim(
                claim=f"{name} noise {words} the fourth norm of the rows",
                source=f"{SOURCE}, noise",
                prediction=f"||w||_4^4 {['at', 'above', 'below'][sign]} {row.isotropic:.3g} (isotropic rows)",
                measured=row.final.value,
                standard_error=error,
                tolerance=tolerance,
                verdict=verdict,
                seeds=row.seeds,
                note=f"excess kurtosis {row.excess_kurtosis:+.1f}; n=8, m=16, SGD, no L1",
            )
        )
    return claims


def _start_claims(starts: Sequence[Initialisation]) -> list[Claim]:
    claims = []
    for start in starts:
        name = {"adamw": "AdamW", "sgd": "SGD"}[start.optimiser]
        difference = (start.diagonal.value or 0.0) - start.off_diagonal
        claims.append(
            Claim(
                claim=f"Final codes correlate with their own initial weights ({name})",
                source=f"{SOURCE}, initialisation",
                prediction="diag(W_0 W^T) above its off-diagonal",
                measured=start.diagonal.value,
                standard_error=start.diagonal_standard_error,
                tolerance=times(3, start.diagonal_standard_error),
                verdict=separated(difference, start.diagonal_standard_error),
                seeds=start.seeds,
                note=f"off-diagonal {start.off_diagonal:.3f}, deviation {start.off_diagonal_deviation:.3f}",
            )
        )
        claims.append(
            Claim(
                claim=f"The initially largest weight wins ({name})",
                source=f"{SOURCE}, winner-take-all read literally",
                prediction="share of features above 1/2",
                measured=start.kept.value,
                standard_error=start.kept_standard_error,
                tolerance=times(3, start.kept_standard_error),
                verdict=separated((start.kept.value or 0.0) - 0.5, start.kept_standard_error),
                seeds=start.seeds,
                note=f"chance {start.chance:.3f}; mean initial rank of the winner {start.winner_rank:.1%} of m",
            )
        )
    return claims
