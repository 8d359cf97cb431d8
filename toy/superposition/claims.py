"""The claims on superposition, judged."""

from __future__ import annotations

from eval.claims import Claim
from eval.experiment import within
from toy.superposition.results import PhaseDiagram, SuperpositionResult

TMS, MK = "Elhage et al. 2022 (TMS)", "Marshall & Kirchner 2023 (MK)"


def judge(found: SuperpositionResult) -> list[Claim]:
    """The bound, its reading as a fit, the sticky regions, the phase diagram."""
    claims = [claim for entropy in found.levels[0].bound for claim in bound_claims(found, entropy)]
    claims += [_plateau_claim(found, value) for value in ("1", "0.5")]
    return [*claims, _pairs_claim(found), *_phase_claims(found.phase, found.seeds)]


def bound_claims(found: SuperpositionResult, entropy: str) -> list[Claim]:
    """R below D* wherever R is above m/n; and R as a fit of D*."""
    limit = found.informative_below[entropy]
    inside = [level for level in found.levels if level.sparsity <= limit]
    ratios = [value / level.bound[entropy] for level in inside for value in level.dimensions_by_seed]
    low, high = min(ratios), max(ratios)
    where = f"S <= {limit:.3f}, where R exceeds m/n ({len(inside)} of {len(found.levels)} levels)"
    bound = Claim(
        claim=f"The compression rate bounds dimensions per feature from below (H={entropy} bits)",
        source=f"{MK} eq. 1, Fig. 1c",
        prediction="smallest D*/R >= 1",
        measured=low,
        tolerance=0.0,
        verdict="holds" if low >= 1 else "fails",
        seeds=found.seeds,
        n=len(ratios),
        note=where,
    )
    fit = Claim(
        claim=f"The compression rate predicts dimensions per feature (H={entropy} bits)",
        source=f"{MK} Fig. 1c read as a fit",
        prediction="largest D*/R within .1 of 1",
        measured=high,
        tolerance=0.1,
        kind="prediction of ours",
        verdict=within(high, 1, 0.1),
        seeds=found.seeds,
        n=len(ratios),
        note=f"D*/R from {low:.2f} to {high:.2f} on {where}",
    )
    return [bound, fit]


def _plateau_claim(found: SuperpositionResult, value: str) -> Claim:
    slope = found.plateaus[value]
    note = "dense codes are a rotated PCA: no single feature owns a whole dimension" if value == "1" else ""
    if slope is None:
        note = "no two neighbouring sparsity levels lie within 10% of the value, so there is no slope to compare"
    return Claim(
        claim=f"Dimensions per feature have a sticky plateau at {value}",
        source=f"{TMS}, geometry; {MK} Fig. 1c",
        prediction="slope there below half of the mean slope",
        measured=slope,
        tolerance=0.5,
        verdict="holds" if slope is not None and slope < 0.5 else "fails",
        seeds=found.seeds,
        note=note,
    )


def _pairs_claim(found: SuperpositionResult) -> Claim:
    near = [level for level in found.levels if abs((level.dimensions.value or 0.0) - 0.5) < 0.05]
    shares = [level.near_half for level in near if level.near_half is not None]
    return Claim(
        claim="At the plateau of 1/2 the features are antipodal pairs",
        source=f"{TMS}, geometry",
        prediction="at some level more than .8 of D_i within .03 of 1/2",
        measured=max(shares) if shares else None,
        verdict="cannot tell" if not shares else "holds" if max(shares) > 0.8 else "fails",
        seeds=found.seeds,
        note=f"shares of the levels with D* within .05 of 1/2: {', '.join(f'{s:.2f}' for s in shares) or 'none'}",
    )


def _phase_claims(phase: PhaseDiagram, seeds: int) -> list[Claim]:
    cells = len(phase.importances)
    dense = Claim(
        claim="Two dense features on one dimension are never in superposition",
        source=f"{TMS}, phase change",
        prediction="share of cells at S=0: 0",
        measured=phase.superposition_dense,
        tolerance=0.0,
        verdict=within(phase.superposition_dense, 0, 0),
        seeds=1,
        n=cells,
        note="exact expected loss, best of 6 starts per cell",
    )
    sparse = Claim(
        claim="Two sparse features of similar importance are",
        source=f"{TMS}, phase change",
        prediction="share of cells at S=.99 above 1/2",
        measured=phase.superposition_sparse,
        tolerance=0.0,
        verdict="holds" if phase.superposition_sparse > 0.5 else "fails",
        seeds=1,
        n=cells,
        note="relative importance from .1 to 10",
    )
    return [dense, sparse]
