"""The statements of Black et al. (2022) that images can test, each with its number, interval and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eval.claims import Claim, Verdict, controls_text
from eval.measures.statistics.resampling import bootstrap_share
from eval.measures.statistics.small_samples import of_another
from eval.polytope_verdicts import (
    FOOTNOTE_CORRELATION,
    PEAK_MARGIN,
    Counted,
    judge_counts,
)
from eval.scores import Score
from eval.verdicts import above, below, both, corrected, judged_claim, verdict_on
from vision_codes.lenses.polytopes.networks import FRESH
from vision_codes.lenses.polytopes.panel_rows import FixedPosition, PositionRow, SiteDirections
from vision_codes.lenses.polytopes.rays import counted
from vision_codes.lenses.polytopes.results import (
    ChannelClusters,
    ClustersFound,
    DensityRow,
    ImagePolytopes,
    Judged,
    MapsRow,
    Prediction,
    ScalingRow,
    SiteClusters,
)

SOURCE = "Black et al. 2022, Interpreting Neural Networks through the Polytope Lens"


def all_claims(found: ImagePolytopes, trends: Mapping[str, Score]) -> list[Claim]:
    """Verdicts on P2, P3, the footnote and the image half of P1; `trends`: of the density ratio, by network.

    They are one family, corrected by Holm. A statement whose control was not measured cannot hold.
    """
    claims = [
        *_density_claims(found.density, trends),
        *_scaling_claims(found.scaling),
        _map_claim(found.affine_maps, found.affine_maps_of_controls),
        _cluster_claim(found.clusters),
        *_position_claims(found.fixed_position),
        *_overlap_claims(found.directions),
    ]
    return corrected([replace(claim, family="polytopes of an image network") for claim in claims])


def documented(found: ImagePolytopes, trends: Mapping[str, Score]) -> Judged:
    """The keys `claims` and `predictions` of `results.json`."""
    claims = all_claims(found, trends)
    short = (Prediction(claim.claim, claim.verdict, claim.measured, claim.interval) for claim in claims)
    return Judged(tuple(claims), tuple(short))


def _claim(
    words: str, place: str, prediction: str, score: Score, threshold: float, note: str,
    controls: Mapping[str, Score], verdict: Verdict | None = None, *, units: str,
) -> Claim:  # fmt: skip
    """A claim above a threshold and its controls; verdict: where more than that number decides."""
    found = judged_claim(
        words, f"{SOURCE}, {place}", prediction, score, above(threshold), controls=controls, note=note, units=units
    )
    return found if verdict is None else replace(found, verdict=verdict)


def _density_claims(rows: Sequence[DensityRow], trends: Mapping[str, Score]) -> list[Claim]:
    last = [row for row in rows if row.network == "trained"][-1]
    late = last.ratio
    controls = {row.network: row.ratio for row in rows if row.network != "trained" and row.layer == last.layer}
    note = f"interval over classes; label permutation p = {last.p}"
    return [
        _claim(
            "P2: density between classes exceeds that within them (last layer measured)",
            "prediction 2, Fig. 6",
            "inter / intra > 1, and above every control's interval",
            late,
            1.0,
            note,
            controls,
            units="ratio",
        ),
        _claim(
            "P2: the more so in higher layers",
            "prediction 2, Fig. 6",
            "rank correlation of depth and ratio > 0, and above every control's interval",
            trends["trained"],
            0.0,
            "interval over classes",
            {name: score for name, score in trends.items() if name != "trained"},
            units="rank correlation",
        ),
    ]


def _scaling_claims(scaled: Sequence[ScalingRow]) -> list[Claim]:
    """At every layer measured: is there a peak before the activation, and do classes change beyond it?"""
    layers = dict.fromkeys(row.layer for row in scaled)
    return [claim for layer in layers for claim in _layer_claims([row for row in scaled if row.layer == layer])]


def _layer_claims(rows: Sequence[ScalingRow]) -> list[Claim]:
    trained = next(row for row in rows if row.network == "trained")
    others = {row.network: row for row in rows if row.network != "trained"}
    return [_peak_claim(trained, others), _beyond_claim(trained, others)]


def _peak_claim(trained: ScalingRow, others: dict[str, ScalingRow]) -> Claim:
    """Does density rise to a place before the activation and fall from it, more than in any control?"""
    verdict, moving = judge_counts(counted(trained), {name: counted(row) for name, row in others.items()}, PEAK_MARGIN)
    place = trained.peak_location
    if verdict.startswith("holds"):  # a peak: is it between origin and activation?
        verdict = both(verdict, verdict_on(place, below(1.0)))
    samples = "" if trained.n_samples is None else f" of {trained.n_samples} samples"
    shapes = "; ".join(f"{row.network}: {row.shape} at s = {row.peak_location}" for row in (trained, *others.values()))
    sizes = {name: row.prominence for name, row in others.items()}
    parts = [f"{trained.counting}{samples}", moving, shapes]
    return _claim(
        f"P3: a density peak between the activation and the origin ({trained.layer.strip('_')})",
        "prediction 3, Fig. 7",
        f"log2 of the density at its highest place over that at either end > {PEAK_MARGIN}, above every control's "
        "interval, and that place before s = 1 (intervals hold over all layers together)",
        trained.prominence,
        PEAK_MARGIN,
        "; ".join(part for part in parts if part),
        sizes,
        verdict,
        units="octaves of density",
    )


def _beyond_claim(trained: ScalingRow, others: dict[str, ScalingRow]) -> Claim:
    """Do classes change beyond the activation, more often than in any control, and are boundaries fewer there?"""
    changed = trained.class_changed_by_3
    changes = {name: row.class_changed_by_3 for name, row in others.items()}
    sparser, moving = verdict_on(trained.log2_peak, above(0.0)), ""
    counts = Counted(trained.log2_peak, trained.log2_peak_half_samples)
    if counts.score.is_defined and not counts.settled_against(0.0):
        sparser, moving = "cannot tell", "sampled counts have not settled; "
    share, beyond = trained.share_of_crossings_beyond_1, trained.share_of_class_changes_beyond_1
    reached = ", ".join(f"{one.name} ({one.images})" for one in trained.classes_beyond[:5])
    return _claim(
        f"P3: classes still change far out although few boundaries are left there ({trained.layer.strip('_')})",
        "prediction 3, Fig. 7",
        "share of images whose class at s = 3 is not that at s = 1 above every control's interval, "
        "and fewer crossings per s in 1..3 than in 0..1",
        changed,
        0.0,
        f"{moving}{'-' if share is None else format(share, '.0%')} of crossings and "
        f"{'-' if beyond is None else format(beyond, '.0%')} of class changes lie beyond s = 1; classes reached there "
        f"(rays): {reached or 'none'}; classes change in controls: {controls_text(changes)}",
        changes,
        both(verdict_on(changed, above(0.0), changes), sparser),
        units="share, 0 to 1",
    )


def _map_claim(trained: MapsRow, controls: Sequence[MapsRow]) -> Claim:
    return _claim(
        "Footnote: Hamming distance of codes tracks the Frobenius distance of the affine maps",
        "footnote",
        f"rank correlation > {FOOTNOTE_CORRELATION}, and above every control's interval",
        trained.rank_correlation,
        FOOTNOTE_CORRELATION,
        f"interval over images; another network without training: a prediction interval from {len(FRESH)} seeds",
        _with_fresh(controls),
        units="rank correlation",
    )


def _with_fresh(controls: Sequence[MapsRow]) -> dict[str, Score]:
    """Networks without training together, by what another of them would show, beside the other controls."""
    alone = {row.network: row.rank_correlation for row in controls}
    fresh = [alone[name].value for name in FRESH if name in alone]
    if len(fresh) < len(FRESH):
        return alone
    another = of_another(np.array([np.nan if value is None else value for value in fresh]))
    return {"another network without training": another} | {k: v for k, v in alone.items() if k not in FRESH}


def _cluster_claim(found: ClustersFound) -> Claim:
    codes = found.codes
    words = f"P1 (images): clusters of channel codes hold fewer classes than chance ({codes.site.split(':')[0]})"
    prediction = "share of clusters below the shuffled null (5% false discovery) > 0.5, and above every control's"
    note = "patches, not whole images: one texture may belong to many classes"
    controls = {row.network: _share_below_null(row) for row in found.controls}
    return _claim(
        words, "prediction 1", prediction, _share_below_null(codes), 0.5, note, controls, units="share of clusters"
    )


def _position_claims(found: Sequence[FixedPosition]) -> list[Claim]:
    """The paper's own recipe, one place an image: activations at the deepest site with clusters of them."""
    rows = [row for one in found for row in one.clusters if row.of == "activations"]
    own = [row for row in rows if row.network == "trained"]
    if not own:
        return []
    chosen = next((row for row in reversed(own) if row.n_clusters), own[-1])
    controls = {row.network: _share_below_null(row) for row in rows if row.site == chosen.site and row is not chosen}
    return [
        _claim(
            f"P1 (images): clusters of one place of every image hold fewer classes than chance "
            f"({chosen.site.split(':')[0]})",
            "prediction 1",
            "share of clusters of activations below the shuffled null (5% false discovery) > 0.5, and above every "
            "control's",
            _share_below_null(chosen),
            0.5,
            f"{chosen.n_images} images, the middle place of each",
            controls,
            units="share of clusters",
        )
    ]


def _overlap_claims(found: Sequence[SiteDirections]) -> list[Claim]:
    if not found:
        return []
    own, *others = found
    shown = "" if own.by_chance is None else f"random sets of places: {own.by_chance:.2g}"
    return [
        _claim(
            f"P1 (images): directions overlap several polytope regions ({own.site.split(':')[0]})",
            "prediction 1",
            "share of NMF directions with two or more clusters of codes among their strongest places, minus that of "
            "random sets, > 0, and above every control's interval",
            own.overlap,
            0.0,
            shown,
            {row.network: row.overlap for row in others},
            units="share, -1 to 1",
        )
    ]


def _share_below_null(found: ChannelClusters | SiteClusters | PositionRow) -> Score:
    """Share of clusters whose classes are less mixed than in the shuffled null; an interval from 8 clusters on."""
    if not found.n_clusters:
        return Score.undefined(found.reason or "no cluster", 0)
    hits = np.repeat([1.0, 0.0], [found.below_null, found.n_clusters - found.below_null])
    return bootstrap_share(hits, minimum_groups=8)
