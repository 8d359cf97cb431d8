"""The paper's statements, put to the test on a language model [Black et al. 2022, predictions 1-3 and footnote]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.claims import Claim, judge_sign
from eval.polytope_verdicts import FOOTNOTE_CORRELATION, both, controls_text, judge_above_controls, opposite
from eval.scores import Score
from llm_codes.lenses.polytopes.control import Measured
from llm_codes.lenses.polytopes.rays import Rays
from llm_codes.lenses.polytopes.results import Polytopes, Prediction
from llm_codes.lenses.polytopes.rows import Contrast
from llm_codes.lenses.polytopes.study import Study


def judge(found: Study, seed: int) -> list[Claim]:
    """Every statement of the paper that a language model can test, judged on one study.

    A statement holds only where the network's interval lies clear of its untrained control's as well; without a control
    none holds.
    """
    own, control = found.measured, found.results.control
    return [
        *of_clusters(own, control),
        *of_density(own.contrast, {} if control is None else control.contrast),
        *of_rays(found.rays, own.boundary_gap, None if control is None else control.boundary_gap, seed),
        of_maps(own.hamming_frobenius, None if control is None else control.hamming_frobenius),
    ]


def judged(found: Study, claims: Sequence[Claim]) -> Polytopes:
    """The results with the keys `predictions` and `claims`."""
    predictions = tuple(
        Prediction(claim.source, claim.claim, claim.verdict, claim.measured, claim.interval, claim.note)
        for claim in claims
    )
    return replace(found.results, predictions=predictions, claims=tuple(claims))


def _claim(statement: str, source: str, prediction: str, score: Score, verdict: Any, note: str = "") -> Claim:
    interval = None if score.low is None or score.high is None else (score.low, score.high)
    reason = score.reason or score.interval_reason or ""
    return Claim(statement, source, prediction, score.value, verdict, interval, n=score.n, note=note or reason)


def _above_control(
    statement: str, source: str, prediction: str, own: Score, control: Score | None, threshold: float = 0.0,
    note: str = "",
) -> Claim:  # fmt: skip
    """A claim that a score lies above `threshold` and above the untrained network's."""
    controls = {} if control is None else {"untrained": control}
    verdict = judge_above_controls(own, controls, threshold)
    beside = controls_text(controls) if controls else "no untrained control"
    reason = own.reason or own.interval_reason
    notes = [part for part in (note, reason, beside) if part]
    return _claim(statement, source, f"{prediction}, and above the untrained network's", own, verdict, "; ".join(notes))


def of_clusters(own: Measured, control: Measured | None) -> list[Claim]:
    """Prediction 1, in its parts. A cluster is monosemantic where its token or next-token entropy is below chance."""
    note = "entropy of token or next token below a shuffled null, Benjamini-Hochberg q < .05"
    claims = [
        _above_control(
            f"most clusters of {kind} are monosemantic", "PL prediction 1", "share above .5", getattr(own, kind),
            None if control is None else getattr(control, kind), 0.5, note,
        )
        for kind in ("codes", "activations")
    ]  # fmt: skip
    nmf = _above_control(
        "NMF directions turn out largely monosemantic", "PL prediction 1 (as found)", "share above .5", own.nmf,
        None if control is None else control.nmf, 0.5,
    )  # fmt: skip
    overlap = _above_control(
        "polysemantic directions overlap several polytope regions", "PL prediction 1",
        "share of polysemantic directions with two or more clusters of codes among their top tokens, minus that of "
        "random token sets, above 0", own.overlap, None if control is None else control.overlap,
        note=own.overlap_note,
    )  # fmt: skip
    return [*claims, nmf, overlap]


def of_density(contrast: Mapping[str, Contrast], control: Mapping[str, Contrast]) -> list[Claim]:
    """Prediction 2: boundaries reflect meaning, the more so with depth."""
    claims = []
    for name, own in contrast.items():
        other = control.get(name)
        claims.append(
            _above_control(
                f"density between tokens of different class ({name}) exceeds density within", "PL prediction 2",
                "(inter - intra) / inter above 0, mean over layers", own.contrast, other and other.contrast,
            )
        )  # fmt: skip
        claims.append(
            _above_control(
                f"that contrast grows with depth ({name})", "PL prediction 2", "slope per compared layer above 0",
                own.trend, other and other.trend,
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
        _claim("density peaks between the activation and the origin", "PL prediction 3",
               "share of rays above .5, and above every control's interval", trained,
               judge_above_controls(trained, controls, 0.5), controls_text(controls)),
        _changes(rays, seed),
    ]  # fmt: skip
    if gap is not None:
        beside = {} if control is None else {"untrained": control}
        verdict = judge_above_controls(opposite(gap), {name: opposite(one) for name, one in beside.items()})
        claims.append(
            _claim("principal directions cross fewer boundaries per length than random ones within the data's range",
                   "PL prediction 3 (beyond the paper)",
                   "difference in exact density below 0, and below the untrained network's", gap, verdict,
                   controls_text(beside) if beside else "no untrained control")
        )  # fmt: skip
    return claims


def _changes(rays: dict[str, Rays], seed: int) -> Claim:
    """Does the predicted token change beyond the activation, more than for noise, although boundaries are sparse?"""
    own, noise = rays["trained"], rays["matched noise"]
    excess, sparse = own.changes_above(noise, seed), own.sparser_beyond(seed)
    verdict = both(judge_sign(excess, "above"), judge_sign(sparse, "above"))
    shares = {name: one.changes_beyond(seed) for name, one in rays.items()}
    note = (
        f"share of rays with a change: {controls_text(shares)}; log2 of the density before over that beyond: {sparse}"
    )
    return _claim("the predicted token still changes beyond the activation despite low density", "PL prediction 3",
                  "share of rays with a change at 1 < s < 3, minus that of the same rays with matched noise, above 0; "
                  "and density lower there than before s = 1", excess, verdict, note)  # fmt: skip


def of_maps(score: Score, control: Score | None = None) -> Claim:
    """The footnote: Hamming distance of codes tracks the Frobenius distance of the affine maps."""
    note = "gate maps of the first coded block, disjoint pairs of tokens, interval over documents"
    return _above_control(
        "Hamming distance of codes tracks the Frobenius distance of the affine maps", "PL footnote",
        f"Spearman correlation above {FOOTNOTE_CORRELATION}", score, control, FOOTNOTE_CORRELATION,
        note if score.is_defined else "",
    )  # fmt: skip
