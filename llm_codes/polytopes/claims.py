"""The paper's statements, put to the test on a language model [Black et al. 2022, predictions 1-3 and footnote]."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.claims import Claim, judge_sign
from eval.measures.resampling import bootstrap_mean
from eval.scores import Score
from llm_codes.polytopes.rays import Rays


def _claim(statement: str, source: str, prediction: str, score: Score, verdict: Any, note: str = "") -> Claim:
    interval = None if score.low is None or score.high is None else (score.low, score.high)
    reason = score.reason or score.interval_reason or ""
    return Claim(statement, source, prediction, score.value, verdict, interval, n=score.n, note=note or reason)


def of_clusters(clusters: dict[str, Any], directions: dict[str, Any], seed: int) -> list[Claim]:
    """Prediction 1, in its parts. A cluster is monosemantic where its token or next-token entropy is below chance."""
    claims = []
    for kind in ("codes", "activations"):
        cards = clusters[kind]["cards"]
        pure = np.array([c["token"]["monosemantic"] or c["next_token"]["monosemantic"] for c in cards], dtype=float)
        score = (
            bootstrap_mean(pure, minimum_groups=10, seed=seed)
            if len(pure)
            else Score.undefined(clusters[kind]["reason"] or "no cluster", 0)
        )
        claims.append(
            _claim(f"most clusters of {kind} are monosemantic", "PL prediction 1", "share above .5", score,
                   judge_sign(score, "above", 0.5),
                   "entropy of token or next token below a shuffled null, Benjamini-Hochberg q < .05")
        )  # fmt: skip
    rows = directions["nmf"]["rows"]
    pure = np.array([r["token_monosemantic"] or r["next_token_monosemantic"] for r in rows], dtype=bool)
    score = bootstrap_mean(pure.astype(float), minimum_groups=10, seed=seed)
    claims.append(_claim("NMF directions turn out largely monosemantic", "PL prediction 1 (as found)",
                         "share above .5", score, judge_sign(score, "above", 0.5)))  # fmt: skip
    effective = np.array([r["n_clusters"] >= 2 for r in rows], dtype=float)[~pure]
    n_clusters = clusters["codes"]["n_clusters"]
    if n_clusters < 3:
        score = Score.undefined(f"{n_clusters} clusters of codes; overlap needs at least 3", len(effective))
    elif not len(effective):
        score = Score.undefined("no NMF direction is polysemantic by this test", 0)
    else:
        score = bootstrap_mean(effective, minimum_groups=10, seed=seed)
    claims.append(
        _claim("polysemantic directions overlap several polytope regions", "PL prediction 1",
               "share of polysemantic directions with two or more clusters among their top tokens above .5", score,
               judge_sign(score, "above", 0.5), "clusters of codes; noise is no region")
    )  # fmt: skip
    return claims


def of_density(contrast: dict[str, dict[str, Score]]) -> list[Claim]:
    """Prediction 2: boundaries reflect meaning, the more so with depth."""
    claims = []
    for name, scores in contrast.items():
        score, trend = scores["contrast"], scores["trend"]
        claims.append(
            _claim(f"density between tokens of different class ({name}) exceeds density within", "PL prediction 2",
                   "(inter - intra) / inter above 0, mean over layers", score, judge_sign(score, "above"))
        )  # fmt: skip
        claims.append(
            _claim(f"that contrast grows with depth ({name})", "PL prediction 2", "slope per compared layer above 0",
                   trend, judge_sign(trend, "above"))
        )  # fmt: skip
    return claims


def of_rays(rays: dict[str, Rays], directions: dict[str, Any], seed: int) -> list[Claim]:
    """Prediction 3: density along the ray, and boundaries crossed by feature directions."""
    if not rays:
        return []
    trained, noise = rays["trained"].peak_before(seed), rays["matched noise"].peak_before(seed)
    verdict = judge_sign(trained, "above", 0.5)
    if verdict == "holds" and (noise.high is None or trained.low is None or noise.high >= trained.low):
        verdict = "cannot tell"
    claims = [
        _claim("density peaks between the activation and the origin", "PL prediction 3",
               "share of rays above .5, and above Gaussian noise of the same mean and covariance", trained, verdict,
               f"matched noise: {noise}"),
    ]  # fmt: skip
    changes = rays["trained"].changes_beyond(seed)
    claims.append(
        _claim("the predicted token still changes beyond the activation", "PL prediction 3",
               "share of rays with a change at 1 < s < 3 above 0", changes, judge_sign(changes, "above"),
               "called only partly supported by the paper itself")
    )  # fmt: skip
    of_kind = {
        k: np.array([r["density"] for r in directions["boundaries"] if r["kind"] == k]) for k in ("pca", "random")
    }
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


def of_maps(score: Score) -> Claim:
    """The footnote: Hamming distance of codes tracks the Frobenius distance of the affine maps."""
    note = "gate maps of the first coded block, disjoint pairs of tokens, interval over documents"
    return _claim("Hamming distance of codes tracks the Frobenius distance of the affine maps", "PL footnote",
                  "Spearman correlation above 0", score, judge_sign(score, "above"),
                  note if score.is_defined else "")  # fmt: skip
