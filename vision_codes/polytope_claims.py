"""The statements of Black et al. (2022) that images can test, each with its number, interval and verdict."""

from __future__ import annotations

from typing import Any

from eval.claims import Claim, judge_sign
from eval.scores import Score

SOURCE = "Black et al. 2022, Interpreting Neural Networks through the Polytope Lens"


def all_claims(results: dict[str, Any], trend: Score) -> list[Claim]:
    """Verdicts on P2, P3, the footnote and the image half of P1; `trend`: of the density ratio over layers."""
    return [
        *_density_claims(results, trend),
        *_scaling_claims(results),
        _map_claim(results),
        _cluster_claim(results),
    ]


def _interval(row: dict[str, Any], name: str) -> Score:
    if row.get(name) is None:
        return Score.undefined(row.get(f"{name}_reason") or "undefined")
    ci = row.get(f"{name}_ci") or [None, None]
    return Score(row[name], ci[0], ci[1], row.get(f"{name}_n"))


def _claim(words: str, place: str, prediction: str, score: Score, threshold: float, note: str = "") -> Claim:
    verdict = judge_sign(score, "above", threshold)
    interval = None if score.low is None or score.high is None else (score.low, score.high)
    why = note or score.reason or score.interval_reason or ""
    return Claim(words, f"{SOURCE}, {place}", prediction, score.value, verdict, interval, n=score.n, note=why)


def _density_claims(results: dict[str, Any], trend: Score) -> list[Claim]:
    trained = [row for row in results["density"] if row["network"] == "trained"]
    late = _interval(trained[-1], "ratio")
    other = [row for row in results["density"] if row["network"] != "trained" and row["layer"] == trained[-1]["layer"]]
    best = max((row["ratio"] for row in other if row["ratio"] is not None), default=None)
    note = f"interval over classes; label permutation p = {trained[-1]['p']}"
    note += "" if best is None else f"; highest control {best:.3g}"
    return [
        _claim(
            "P2: density between classes exceeds that within them (last layer measured)",
            "prediction 2, Fig. 6",
            "inter / intra > 1",
            late,
            1.0,
            note,
        ),
        _claim(
            "P2: the more so in higher layers",
            "prediction 2, Fig. 6",
            "rank correlation of depth and ratio > 0",
            trend,
            0.0,
        ),
    ]


def _scaling_claims(results: dict[str, Any]) -> list[Claim]:
    claims = []
    trained = [row for row in results["scaling"] if row["network"] == "trained"]
    middle = trained[0]
    controls = {r["network"]: r["log2_peak"] for r in results["scaling"] if r["layer"] == middle["layer"]}
    shown = ", ".join(f"{k} {'none' if v is None else format(v, '.2f')}" for k, v in controls.items())
    claims.append(
        _claim(
            f"P3: a density peak between the activation and the origin ({middle['layer'].strip('_')})",
            "prediction 3, Fig. 7",
            "log2 (crossings per s in 0..1 / in 1..3) > 0",
            _interval(middle, "log2_peak"),
            0.0,
            f"{middle['counting']} count; {shown}",
        )
    )
    beyond = middle["share_of_class_changes_beyond_1"]
    changed = _interval(middle, "class_changed_by_3")
    share = middle["share_of_crossings_beyond_1"]
    claims.append(
        _claim(
            "P3: classes still change far out although few boundaries are left there",
            "prediction 3, Fig. 7",
            "share of images whose class at s = 3 is not that at s = 1, above 0.05",
            changed,
            0.05,
            f"{'-' if share is None else format(share, '.0%')} of crossings and "
            f"{'-' if beyond is None else format(beyond, '.0%')} of class changes lie beyond s = 1",
        )
    )
    return claims


def _map_claim(results: dict[str, Any]) -> Claim:
    return _claim(
        "Footnote: Hamming distance of codes tracks the Frobenius distance of the affine maps",
        "footnote",
        "rank correlation > 0.5",
        _interval(results["affine_maps"], "rank_correlation"),
        0.5,
        "interval over images",
    )


def _cluster_claim(results: dict[str, Any]) -> Claim:
    found = results["clusters"]["codes"]
    count = found["n_clusters"]
    if not count:
        return Claim(
            "P1: clusters of codes are monosemantic", SOURCE, "-", None, "cannot tell", note=str(found["reason"])
        )
    share = found["below_null"] / count
    error = 1.96 * (max(share * (1 - share), 0.25 / count) / count) ** 0.5
    score = Score(share, max(0.0, share - error), min(1.0, share + error), count)
    return _claim(
        "P1 (images): clusters of channel codes hold fewer classes than chance",
        "prediction 1",
        "share of clusters below the shuffled null (5% false discovery) > 0.5",
        score,
        0.5,
        "patches, not whole images: one texture may belong to many classes",
    )
