"""Thresholds, samples that have not settled, and how few clusters have an interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.scores import Score
from tests.vision_codes.lenses.polytopes.test_study import _scaling_row
from vision_codes.lenses.polytopes.claims import _beyond_claim, _claim, _cluster_claim, _density_claims, _map_claim
from vision_codes.lenses.polytopes.networks import FRESH
from vision_codes.lenses.polytopes.results import ChannelClusters, ClustersFound, DensityRow, MapsRow, SiteClusters


def around(value: float) -> Score:
    return Score(value, value - 0.1, value + 0.1)


def density_row(network: str, ratio: float, layer: str = "a") -> DensityRow:
    one = Score(1.0, 0.9, 1.1)
    return DensityRow(network, layer, "exact", one, one, Score(ratio, ratio - 0.1, ratio + 0.1), 0.01, None)


@pytest.mark.parametrize(
    ("trend", "control", "verdict"),
    [
        (0.3, None, "cannot tell"),
        (0.3, 0.0, "holds"),
        (0.3, 0.25, "holds, and so does its control"),
        (-0.3, 0.0, "fails"),
    ],
)
def test_a_rising_density_is_one_above_zero_and_above_the_controls(trend: float, control: float | None, verdict: str):
    """Without a control nothing holds; a small rise is no failure either."""
    trends = {"trained": around(trend)} | ({} if control is None else {"init": around(control)})
    claim = _density_claims([density_row("trained", 1.4)], trends)[1]
    assert claim.verdict == verdict and claim.measured == trend


@pytest.mark.parametrize(
    ("ratio", "control", "verdict"),
    [
        (1.5, 1.0, "holds"),
        (1.5, 1.45, "holds, and so does its control"),
        (0.7, 0.5, "fails"),
        (1.05, 0.5, "cannot tell"),
    ],
)
def test_density_between_classes_is_that_of_the_last_layer_against_its_controls(ratio, control, verdict):
    rows = [
        density_row("trained", 0.2), density_row("trained", ratio, "b"), density_row("init", 5.0),
        density_row("init", control, "b"),
    ]  # fmt: skip
    claim = _density_claims(rows, {"trained": Score(0.0, -1, 1)})[0]
    assert claim.verdict == verdict and claim.controls is not None and list(claim.controls) == ["init"]


@pytest.mark.parametrize(("half", "verdict"), [(1.68, "holds"), (None, "cannot tell"), (0.9, "cannot tell")])
def test_fewer_boundaries_beyond_count_only_where_samples_have_settled(half: float | None, verdict: str):
    trained = replace(
        _scaling_row("trained", 1.69, 0.9), log2_peak=Score(1.69, 1.64, 1.74), log2_peak_half_samples=half
    )
    claim = _beyond_claim(trained, {"init": _scaling_row("init", 0.5, 0.1)})
    assert claim.verdict == verdict
    assert ("have not settled" in claim.note) == (verdict == "cannot tell")


def clusters(found: int, below: int) -> ChannelClusters:
    return ChannelClusters("conv:relu", 100, found, 0.1, 5, None if found else "all noise", below, ())


def judged(codes: ChannelClusters, controls: tuple[SiteClusters, ...] = ()) -> ClustersFound:
    return ClustersFound(codes, (codes.short(),), controls)


def test_a_share_of_clusters_has_an_interval_from_eight_on():
    assert _cluster_claim(judged(clusters(7, 5))).interval is None
    eight = _cluster_claim(judged(clusters(8, 6)))
    assert eight.interval is not None and eight.measured == 0.75 and eight.n == 8
    assert _cluster_claim(judged(clusters(20, 1))).verdict == "fails"
    none = _cluster_claim(judged(clusters(0, 0)))
    assert none.verdict == "cannot tell" and none.measured is None and "all noise" in none.note


@pytest.mark.parametrize(
    ("control", "verdict"),
    [
        (None, "cannot tell"),
        (clusters(20, 2), "holds"),
        (clusters(20, 19), "holds, and so does its control"),
        (clusters(0, 0), "cannot tell"),
    ],
)
def test_clusters_hold_fewer_classes_only_beside_controls_that_do_not(control: ChannelClusters | None, verdict: str):
    """A control without a cluster says nothing, and where no other was measured nothing can hold."""
    controls = () if control is None else (control.short("init"),)
    assert _cluster_claim(judged(clusters(40, 38), controls)).verdict == verdict


def maps(value: float, network: str = "trained") -> MapsRow:
    return MapsRow("conv", 40, 16, around(value), network)


def test_maps_are_tracked_by_a_correlation_above_a_half_and_above_the_controls():
    """Any smooth map ties the two distances to some degree, so random weights are measured as well."""
    assert _map_claim(maps(0.3), ()).verdict == "fails"
    assert _map_claim(maps(0.7), ()).verdict == "cannot tell"  # its control was not measured
    assert _map_claim(maps(0.7), [maps(0.1, "init")]).verdict == "holds"
    assert _map_claim(maps(0.7), [maps(0.65, "init")]).verdict == "holds, and so does its control"
    assert np.isfinite(_claim("w", "p", "p", Score(0.7, 0.6, 0.8), 0.5, "", {}, units="ratio").p or np.nan)


def test_the_footnote_is_told_from_what_another_fresh_network_would_show() -> None:
    """The trained number lies above each of five fresh networks and its images' interval, and not above a sixth's."""
    spread = [maps(value, name) for value, name in zip((0.1, 0.2, 0.5, 0.6, 0.3), FRESH, strict=True)]
    found = _map_claim(maps(0.85), spread)
    assert found.controls is not None and set(found.controls) == {"another network without training"}
    assert found.verdict == "cannot tell"  # another fresh network may lie anywhere from -.3 to 1
    close = [maps(value, name) for value, name in zip((0.10, 0.12, 0.11, 0.13, 0.09), FRESH, strict=True)]
    assert _map_claim(maps(0.85), close).verdict == "holds"
    assert _map_claim(maps(0.85), [*close, maps(0.84, "shuffled weights")]).verdict == "holds, and so does its control"
