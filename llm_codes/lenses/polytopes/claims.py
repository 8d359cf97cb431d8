"""The paper's statements, put to the test on a language model [Black et al. 2022, predictions 1-3 and footnote]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eval.claims import Claim, judge_sign
from eval.measures.dictionaries.directions import overlap_above_chance
from eval.measures.statistics.resampling import bootstrap_mean, bootstrap_share
from eval.polytope_verdicts import FOOTNOTE_CORRELATION, both, controls_text, judge_above_controls
from eval.scores import Score
from llm_codes.lenses.polytopes.cluster_rows import BothClusterings
from llm_codes.lenses.polytopes.rays import Rays
from llm_codes.lenses.polytopes.rows import Boundary, Contrast, Directions, Polytopes, Prediction
from llm_codes.lenses.polytopes.study import Study


def judge(found: Study, seed: int) -> list[Claim]:
    """Every statement of the paper that a language model can test, judged on one study."""
    results = found.results
    return [
        *of_clusters(results.clusters, results.directions, found.top, found.code_labels, seed),
        *of_density(found.contrast),
        *of_rays(found.rays, results.directions.boundaries, seed),
        of_maps(found.footnote),
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


def of_clusters(
    clusters: BothClusterings, directions: Directions, top: list[np.ndarray], labels: np.ndarray, seed: int
) -> list[Claim]:
    """Prediction 1, in its parts. A cluster is monosemantic where its token or next-token entropy is below chance.

    top: the strongest items of each NMF direction; labels: the cluster of codes of each item.
    """
    claims = []
    for kind, block in (("codes", clusters.codes), ("activations", clusters.activations)):
        pure = np.array([card.is_pure for card in block.cards], dtype=float)
        score = (
            bootstrap_share(pure, minimum_groups=10, seed=seed)
            if len(pure)
            else Score.undefined(block.reason or "no cluster", 0)
        )
        claims.append(
            _claim(f"most clusters of {kind} are monosemantic", "PL prediction 1", "share above .5", score,
                   judge_sign(score, "above", 0.5),
                   "entropy of token or next token below a shuffled null, Benjamini-Hochberg q < .05")
        )  # fmt: skip
    pure = np.array([row.is_pure for row in directions.nmf.directions], dtype=bool)
    score = bootstrap_share(pure.astype(float), minimum_groups=10, seed=seed)
    claims.append(_claim("NMF directions turn out largely monosemantic", "PL prediction 1 (as found)",
                         "share above .5", score, judge_sign(score, "above", 0.5)))  # fmt: skip
    return [*claims, _overlap(clusters.codes.n_clusters, [t for t, p in zip(top, pure, strict=True) if not p],
                              labels, seed)]  # fmt: skip


def _overlap(n_clusters: int, top: list[np.ndarray], labels: np.ndarray, seed: int) -> Claim:
    """Do the top tokens of polysemantic directions meet two or more clusters more often than random tokens?"""
    note = ""
    if n_clusters < 3:
        score = Score.undefined(f"{n_clusters} clusters of codes; overlap needs at least 3", len(top))
    elif not top:
        score = Score.undefined("no NMF direction is polysemantic by this test", 0)
    else:
        score, chance = overlap_above_chance(top, labels, seed=seed)
        share = chance + (score.value or 0.0)
        note = f"{share:.2g} of {len(top)} polysemantic directions, {chance:.2g} of random token sets of the same size"
    return _claim("polysemantic directions overlap several polytope regions", "PL prediction 1",
                  "share of polysemantic directions with two or more clusters of codes among their top tokens, minus "
                  "that of random token sets, above 0", score, judge_sign(score, "above"), note)  # fmt: skip


def of_density(contrast: Mapping[str, Contrast]) -> list[Claim]:
    """Prediction 2: boundaries reflect meaning, the more so with depth."""
    claims = []
    for name, scores in contrast.items():
        score, trend = scores.contrast, scores.trend
        claims.append(
            _claim(f"density between tokens of different class ({name}) exceeds density within", "PL prediction 2",
                   "(inter - intra) / inter above 0, mean over layers", score, judge_sign(score, "above"))
        )  # fmt: skip
        claims.append(
            _claim(f"that contrast grows with depth ({name})", "PL prediction 2", "slope per compared layer above 0",
                   trend, judge_sign(trend, "above"))
        )  # fmt: skip
    return claims


def of_rays(rays: dict[str, Rays], boundaries: Sequence[Boundary], seed: int) -> list[Claim]:
    """Prediction 3: density along the ray, and boundaries crossed by feature directions."""
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
    of_kind = {k: np.array([row.density for row in boundaries if row.kind == k]) for k in ("pca", "random")}
    both = min(len(v) for v in of_kind.values())
    if both:
        gap = of_kind["pca"][:both] - of_kind["random"][:both]
        score = bootstrap_mean(gap, minimum_groups=10, seed=seed)
        claims.append(
            _claim("principal directions cross fewer boundaries per length than random ones within the data's range",
                   "PL prediction 3 (beyond the paper)", "difference in exact density below 0", score,
                   judge_sign(score, "below"))
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


def of_maps(score: Score) -> Claim:
    """The footnote: Hamming distance of codes tracks the Frobenius distance of the affine maps."""
    note = "gate maps of the first coded block, disjoint pairs of tokens, interval over documents"
    return _claim("Hamming distance of codes tracks the Frobenius distance of the affine maps", "PL footnote",
                  f"Spearman correlation above {FOOTNOTE_CORRELATION}", score,
                  judge_sign(score, "above", FOOTNOTE_CORRELATION),
                  note if score.is_defined else "")  # fmt: skip
