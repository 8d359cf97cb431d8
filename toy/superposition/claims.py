"""The claims on superposition, judged by the one rule of `eval.verdicts`.

Each number is taken within a seed and averaged over seeds. Controls: the initial weights, a curve of the same ends that
knows no sticky value, weights shuffled over the features, and the other end of the phase diagram.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from eval.claims import Claim
from eval.experiment import claim_over_seeds, mean_of_defined
from eval.scores import Score
from eval.verdicts import above, below, corrected, judged_claim, near
from toy.superposition.measures import plateau_slope
from toy.superposition.results import PhaseDiagram, SparsityLevel, SuperpositionResult

TMS, MK = "Elhage et al. 2022 (TMS)", "Marshall & Kirchner 2023 (MK)"
INPUT_BITS = "24"
"""H of the inputs: float32 numbers in [0, 1] hold 24 bits. The bound at another H compares different codes."""
FIT_MARGIN = 0.1
FAMILY = "superposition"


def judge(found: SuperpositionResult) -> list[Claim]:
    """The bound, its reading as a fit, the sticky regions, the phase diagram."""
    claims = [claim for entropy in found.levels[0].bound for claim in bound_claims(found, entropy)]
    claims += [_plateau_claim(found, value) for value in (1.0, 0.5)]
    return corrected([*claims, _pairs_claim(found), *_phase_claims(found.phase)])


def _informative(found: SuperpositionResult, entropy: str) -> list[SparsityLevel]:
    return [level for level in found.levels if level.sparsity <= found.informative_below[entropy]]


def ratios(levels: Sequence[SparsityLevel], entropy: str, of: Callable[[Sequence[float]], float]) -> dict[str, Score]:
    """Smallest or largest D*/R over the levels, in each model and in its initial weights, mean over models."""

    def score(name: str) -> Score:
        rows = [[value / level.bound[entropy] for value in getattr(level, name)] for level in levels]
        models = [of(column) for column in zip(*rows, strict=True)]
        return mean_of_defined(models, "the bound says nothing at any level")

    return {"trained": score("dimensions_by_seed"), "untrained": score("dimensions_untrained")}


def bound_claims(found: SuperpositionResult, entropy: str) -> list[Claim]:
    """R below D* wherever R is above m/n; and R as a fit of D*."""
    inside = _informative(found, entropy)
    smallest, largest = ratios(inside, entropy, min), ratios(inside, entropy, max)
    limit = found.informative_below[entropy]
    where = f"S <= {limit:.3f}, where R exceeds m/n ({len(inside)} of {len(found.levels)} levels)"
    own = entropy == INPUT_BITS
    other = "" if own else f"; the inputs hold {INPUT_BITS} bits, so this reads R beside a code of other numbers"
    return [
        claim_over_seeds(
            f"The compression rate bounds dimensions per feature from below (H={entropy} bits)",
            f"{MK} eq. 1, Fig. 1c",
            "smallest D*/R above 1",
            smallest["trained"],
            above(1.0),
            controls={"untrained": smallest["untrained"]},
            kind="statement of a source" if own else "prediction of ours",
            family=FAMILY,
            note=where + other,
            units="ratio",
        ),
        claim_over_seeds(
            f"The compression rate predicts dimensions per feature (H={entropy} bits)",
            f"{MK} Fig. 1c read as a fit",
            f"largest D*/R within {FIT_MARGIN} of 1",
            largest["trained"],
            near(1.0, FIT_MARGIN),
            controls={"untrained": largest["untrained"]},
            kind="prediction of ours",
            tolerance=FIT_MARGIN,
            family=FAMILY,
            note=where + other,
            units="ratio",
        ),
    ]


def even_curve(curve: Sequence[float]) -> list[float]:
    """A curve between the same ends in equal steps of the logarithm: it knows no sticky value."""
    first, last = math.log(curve[0]), math.log(curve[-1])
    return [math.exp(first + (last - first) * k / (len(curve) - 1)) for k in range(len(curve))]


def _plateau_claim(found: SuperpositionResult, value: float) -> Claim:
    curves = list(zip(*(level.dimensions_by_seed for level in found.levels), strict=True))
    none = "no two neighbouring sparsity levels lie within 10% of the value, so there is no slope to compare"
    slopes = [plateau_slope(curve, value) for curve in curves]
    even = [plateau_slope(even_curve(curve), value, width=math.inf) for curve in curves]
    note = "dense codes are a rotated PCA: no single feature owns a whole dimension" if value == 1 else ""
    left_out = sum(slope is None for slope in slopes)
    if 0 < left_out < len(slopes):
        note = "; ".join(part for part in (note, f"{left_out} models have no slope there: {none}") if part)
    return claim_over_seeds(
        f"Dimensions per feature have a sticky plateau at {value:g}",
        f"{TMS}, geometry; {MK} Fig. 1c",
        "slope there below half of the mean slope",
        mean_of_defined(slopes, none),
        below(0.5),
        controls={"a curve of even steps": mean_of_defined(even, "the curve has no slope")},
        tolerance=0.5,
        family=FAMILY,
        note=note,
        units="slope, in mean slopes",
    )


def _pairs_claim(found: SuperpositionResult) -> Claim:
    levels = [level for level in found.levels if abs((level.dimensions.value or 0.0) - 0.5) < 0.05]

    def best(name: str) -> Score:
        """The level with the highest share, chosen within each model; so it is for the shuffled weights."""
        models = zip(*(getattr(level, name) for level in levels), strict=True)
        shares = [max((share for share in model if share is not None), default=None) for model in models]
        return mean_of_defined(shares, "no level has D* within .05 of 1/2")

    return claim_over_seeds(
        "At the plateau of 1/2 the features are antipodal pairs",
        f"{TMS}, geometry",
        "at some level more than .8 of D_i within .03 of 1/2",
        best("near_half_by_seed"),
        above(0.8),
        controls={"weights shuffled over features": best("near_half_shuffled")},
        family=FAMILY,
        note=f"{len(levels)} levels have D* within .05 of 1/2",
        units="share, 0 to 1",
    )


def _phase_claims(phase: PhaseDiagram) -> list[Claim]:
    cells = len(phase.importances)
    untrained = {"untrained": Score.exact(phase.superposition_untrained)}
    dense, sparse = (Score.exact(share, cells) for share in (phase.superposition_dense, phase.superposition_sparse))
    return [
        judged_claim(
            "Two dense features on one dimension are never in superposition",
            f"{TMS}, phase change",
            "share of cells at S=0: 0",
            dense,
            near(0.0, 0.0),
            controls={**untrained, "S=.99": sparse},
            tolerance=0.0,
            family=FAMILY,
            note="exact expected loss, best of 6 starts per cell",
            units="share, 0 to 1",
        ),
        judged_claim(
            "Two sparse features of similar importance are",
            f"{TMS}, phase change",
            "share of cells at S=.99 above 1/2",
            sparse,
            above(0.5),
            controls={**untrained, "S=0": dense},
            family=FAMILY,
            note="relative importance from .1 to 10",
            units="share, 0 to 1",
        ),
    ]
