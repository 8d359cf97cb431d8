"""The paper's statements, put to the test on a language model [Black et al. 2022, predictions 1-3 and footnote]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from eval.claims import Claim, controls_text
from eval.measures.clustering.entropy_reduction import FIXED_SIZE
from eval.polytope_verdicts import FOOTNOTE_CORRELATION
from eval.scores import Score
from eval.verdicts import above, below, both, corrected, judged_claim, verdict_on
from llm_codes.lenses.polytopes.control import Measured
from llm_codes.lenses.polytopes.meaning import ACTIVATIONS, CODES, NMF, Meaning, controls_of
from llm_codes.lenses.polytopes.rays import Rays
from llm_codes.lenses.polytopes.results import Polytopes, Prediction
from llm_codes.lenses.polytopes.rows import Contrast
from llm_codes.lenses.polytopes.study import Study


def judge(found: Study, seed: int) -> list[Claim]:
    """Every statement of the paper that a language model can test, judged on one study.

    A statement holds only where the network's interval lies clear of its untrained control's as well; without a control
    none holds. The statements of the paper are one family.
    """
    own, control = found.measured, found.results.control
    found_claims = [
        *of_clusters(own, control),
        *of_density(own.contrast, {} if control is None else control.contrast),
        *of_rays(found.rays, own.boundary_gap, None if control is None else control.boundary_gap, seed),
        of_maps(own.hamming_frobenius, None if control is None else control.hamming_frobenius),
    ]
    return corrected([replace(claim, family="polytopes of a language model") for claim in found_claims])


def judged(found: Study, claims: Sequence[Claim]) -> Polytopes:
    """The results with the keys `predictions` and `claims`."""
    predictions = tuple(
        Prediction(claim.source, claim.claim, claim.verdict, claim.measured, claim.interval, claim.note)
        for claim in claims
    )
    return replace(found.results, predictions=predictions, claims=tuple(claims))


def _above_control(
    statement: str, source: str, prediction: str, own: Score, control: Score | None, threshold: float = 0.0,
    note: str = "", *, units: str,
) -> Claim:  # fmt: skip
    """A claim that a score lies above `threshold` and above the untrained network's."""
    controls = {} if control is None else {"untrained": control}
    beside = f"{prediction}, and above the untrained network's"
    return judged_claim(statement, source, beside, own, above(threshold), controls=controls, note=note, units=units)


def of_clusters(own: Measured, control: Measured | None) -> list[Claim]:
    """Prediction 1, in its parts: how much less mixed than random tokens a set is, not how many are significant."""
    untrained = () if control is None else control.meaning
    claims = [_of_meaning(row, own, untrained) for row in own.meaning if row.of in SOURCES]
    overlap = _above_control(
        "polysemantic directions overlap several polytope regions", "PL prediction 1",
        "share of polysemantic directions with two or more clusters of codes among their top tokens, minus that of "
        "random token sets, above 0", own.overlap, None if control is None else control.overlap,
        note=own.overlap_note, units="share, -1 to 1",
    )  # fmt: skip
    return [*claims, overlap]


SOURCES = {CODES: "PL prediction 1", ACTIVATIONS: "PL prediction 1", NMF: "PL prediction 1 (as found)"}


def _of_meaning(row: Meaning, own: Measured, untrained: Sequence[Meaning]) -> Claim:
    """Without the untrained network no such statement can hold: random directions and neurons alone do not suffice."""
    beside = controls_of(own.meaning, untrained, row)
    if "untrained" not in beside or not beside["untrained"].fixed.is_defined:
        beside = {}
    verb = "turn out" if row.of == NMF else "are"
    return judged_claim(
        f"{row.of} {verb} monosemantic ({row.label})", SOURCES[row.of],
        f"1 - entropy of the {row.label} over that of random tokens, both at {FIXED_SIZE} tokens a set, above 0, and "
        "above random directions, neurons and the untrained network",
        row.fixed, above(0.0), controls={name: one.fixed for name, one in beside.items()},
        note=f"mean over {row.n_sets} sets; extrapolated {row.extrapolated}",
        units="share of the entropy of random tokens",
    )  # fmt: skip


def of_density(contrast: Mapping[str, Contrast], control: Mapping[str, Contrast]) -> list[Claim]:
    """Prediction 2: boundaries reflect meaning, the more so with depth."""
    claims = []
    for name, own in contrast.items():
        other = control.get(name)
        claims.append(
            _above_control(
                f"density between tokens of different class ({name}) exceeds density within", "PL prediction 2",
                "(inter - intra) / inter above 0, mean over layers", own.contrast, other and other.contrast,
                units="share of the density between",
            )
        )  # fmt: skip
        claims.append(
            _above_control(
                f"that contrast grows with depth ({name})", "PL prediction 2", "slope per compared layer above 0",
                own.trend, other and other.trend, units="share of the density between, per layer",
            )
        )  # fmt: skip
    return claims


def of_rays(rays: dict[str, Rays], gap: Score | None, control: Score | None, seed: int) -> list[Claim]:
    """Prediction 3: density along the ray, and boundaries crossed by feature directions.

    gap: density along PCA directions minus along random ones; control: the untrained network's.
    """
    if not rays:
        return []
    trained = rays["trained"].peak_before(seed)
    controls = {name: one.peak_before(seed) for name, one in rays.items() if name != "trained"}
    claims = [
        judged_claim("density peaks between the activation and the origin", "PL prediction 3",
               "share of rays above .5, and above every control's interval", trained, above(0.5), controls=controls,
               units="share, 0 to 1"),
        _changes(rays, seed),
    ]  # fmt: skip
    if gap is not None:
        beside = {} if control is None else {"untrained": control}
        claims.append(
            judged_claim(
                "principal directions cross fewer boundaries per length than random ones within the data's range",
                "PL prediction 3 (beyond the paper)",
                "difference in exact density below 0, and below the untrained network's", gap, below(0.0),
                controls=beside, kind="prediction of ours", units="boundaries per unit length",
            )
        )  # fmt: skip
    return claims


def _changes(rays: dict[str, Rays], seed: int) -> Claim:
    """Does the predicted token change beyond the activation, more than for noise, although boundaries are sparse?"""
    own, noise = rays["trained"], rays["matched noise"]
    excess, sparse = own.changes_above(noise, seed), own.sparser_beyond(seed)
    untrained = {name: one for name, one in rays.items() if name not in ("trained", "matched noise")}
    controls = {f"{name} minus matched noise": one.changes_above(noise, seed) for name, one in untrained.items()}
    shares = {name: one.changes_beyond(seed) for name, one in rays.items()}
    note = (
        f"share of rays with a change: {controls_text(shares)}; log2 of the density before over that beyond: {sparse}"
    )
    found = judged_claim(
        "the predicted token still changes beyond the activation despite low density", "PL prediction 3",
        "share of rays with a change at 1 < s < 3, minus that of the same rays with matched noise, above 0 and above "
        "the untrained network's; and density lower there than before s = 1", excess, above(0.0), controls=controls,
        note=note, units="share, -1 to 1",
    )  # fmt: skip
    return replace(found, verdict=both(found.verdict, verdict_on(sparse, above(0.0))))


def of_maps(score: Score, control: Score | None = None) -> Claim:
    """The footnote: Hamming distance of codes tracks the Frobenius distance of the affine maps."""
    note = "gate maps of the first coded block, disjoint pairs of tokens, interval over documents"
    return _above_control(
        "Hamming distance of codes tracks the Frobenius distance of the affine maps", "PL footnote",
        f"Spearman correlation above {FOOTNOTE_CORRELATION}", score, control, FOOTNOTE_CORRELATION,
        note if score.is_defined else "", units="rank correlation",
    )  # fmt: skip
