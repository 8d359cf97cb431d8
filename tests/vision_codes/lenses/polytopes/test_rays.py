"""Rays of an image network: where density peaks, which classes lie beyond, and when samples suffice to say so."""

import dataclasses

import numpy as np
import pytest
import torch

from eval.measures.geometry.tracing import trace
from eval.scores import Score
from tests.eval.measures.geometry.piecewise_networks import perceptron
from vision_codes.lenses.polytopes.claims import _scaling_claims
from vision_codes.lenses.polytopes.density import matched_noise
from vision_codes.lenses.polytopes.paths import Paths
from vision_codes.lenses.polytopes.rays import (
    SCALES,
    classes_reached,
    scaling,
    scaling_summary,
    settled_rows,
    unsettled,
)
from vision_codes.lenses.polytopes.results import ScalingRow

MIDDLE = (SCALES[1:] + SCALES[:-1]) / 2
DECAY = 300 * np.exp(-1.5 * MIDDLE)
PEAK = 40 + 200 * np.exp(-(((MIDDLE - 0.7) / 0.25) ** 2))
LATE = 40 + 200 * np.exp(-(((MIDDLE - 2.0) / 0.25) ** 2))
FLAT = np.full(30, 60.0)


def planted(density, network="trained", half=1.0, seed=0, n=40) -> ScalingRow:
    """A row of rays with a known density; half: the share of it that half the samples would have seen."""
    generator = np.random.default_rng(seed)
    counts = generator.poisson(generator.uniform(0.5, 2, size=(n, 1)) * density)
    fewer = counts if half == 1.0 else np.floor(counts * half).astype(int)
    classes = np.zeros((n, 31), dtype=int)
    sampled = "exact" if half == 1.0 else "sampled lower bound"
    paths = Paths("a", "scaling", sampled, None, counts, fewer, classes, np.ones(n), np.arange(n) % 4)
    return scaling_summary(paths, network=network)


def test_a_network_is_scaled_and_its_peak_measured() -> None:
    program = trace(perceptron(5, 40, 40, 3), torch.zeros(5))
    x = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
    paths = scaling(program, "input", x, np.arange(24) % 4, 24, exact_up_to=10**6, samples=5)
    summary = scaling_summary(paths, names=("cat", "dog", "owl"))
    assert summary.shape in ("peak", "decay", "growth", "flat") and 0 < float(summary.peak_location.value or 0) < 3
    assert summary.rise.low <= summary.rise.value <= summary.rise.high
    assert summary.counting == "exact" and summary.n_samples is None
    assert summary.log2_peak_half_samples == summary.log2_peak.value  # exact: samples play no part
    assert summary.prominence_half_samples == summary.prominence.value
    assert all(one.name in ("cat", "dog", "owl") and 0 < one.images <= 24 for one in summary.classes_beyond)


@pytest.mark.parametrize(
    ("density", "control", "verdict"),
    [
        (PEAK, FLAT, "holds"),
        (PEAK, DECAY, "holds"),
        (PEAK, PEAK, "holds, and so does its control"),  # the control has it as well
        (DECAY, FLAT, "fails"),  # most crossings lie inside, and there is no peak
        (DECAY, PEAK, "fails"),
        (LATE, FLAT, "fails"),  # a peak beyond the activation
        (LATE, LATE, "fails"),  # and that of its control lies there as well
        (FLAT, FLAT, "fails"),
    ],
)
def test_a_peak_is_judged_by_where_it_lies_and_against_its_controls(density, control, verdict) -> None:
    peak, _ = _scaling_claims([planted(density), planted(control, "shuffled weights", seed=1)])
    assert peak.verdict == verdict, peak
    assert (
        peak.controls is not None
        and "shuffled weights" in peak.controls
        and "shuffled weights" in peak.note
        and "at s = " in peak.note
    )


def test_every_layer_measured_is_judged() -> None:
    rows = [planted(PEAK), planted(FLAT, "init")]
    late = [dataclasses.replace(row, layer="b") for row in (planted(DECAY), planted(FLAT, "init"))]
    claims = _scaling_claims([*rows, *late])
    assert [claim.claim.split("(")[-1] for claim in claims] == ["a)", "a)", "b)", "b)"]
    assert [claim.verdict for claim in claims if "peak" in claim.claim] == ["holds", "fails"]


def moved(row: ScalingRow, half: float) -> ScalingRow:
    return dataclasses.replace(
        row, counting="sampled lower bound", n_samples=61, prominence_half_samples=half,
        peak_location_half_samples=row.peak_location.value,
    )  # fmt: skip


def test_a_sampled_count_that_still_moves_carries_no_verdict() -> None:
    own, other = planted(PEAK), planted(FLAT, "shuffled weights")
    value = float(own.prominence.value or 0)
    assert _scaling_claims([moved(own, value * 0.9), other])[0].verdict == "holds"
    unsure = _scaling_claims([moved(own, value * 0.6), other])[0]
    assert unsure.verdict == "cannot tell" and "have not settled" in unsure.note and "61 samples" in unsure.note
    against = _scaling_claims([own, moved(other, 0.9)])[0]  # the control's count is what moves
    assert against.verdict == "cannot tell" and "have not settled against shuffled weights" in against.note


def test_samples_are_doubled_until_the_arms_have_settled() -> None:
    asked = []

    def measure(samples: int) -> list[ScalingRow]:
        asked.append(samples)
        own = planted(PEAK)
        return [moved(own, float(own.prominence.value or 0) * (1 - 20 / samples)), planted(FLAT, "init")]

    assert not unsettled(settled_rows(measure, 31, 1000)) and asked == [31, 61, 121]
    asked.clear()
    assert unsettled(settled_rows(measure, 31, 61)) == ["trained", "init"] and asked == [31, 61]


def test_classes_beyond_the_activation_are_named() -> None:
    classes = np.zeros((3, 31), dtype=int)
    classes[:, :10] = 4  # before the activation: not asked for
    classes[0, 15:20], classes[0, 20:], classes[1, 30] = 2, 1, 2
    found = classes_reached(classes, ("ant", "bee", "cow"))
    assert [(one.name, one.images) for one in found] == [("cow", 2), ("bee", 1)]
    assert classes_reached(classes, ())[0].name == "2" and classes_reached(classes[2:], ("ant",)) == ()


def test_noise_has_the_moments_and_norms_of_the_activations() -> None:
    torch.manual_seed(0)
    x = (torch.randn(400, 6) * torch.tensor([1.0, 2, 3, 1, 1, 1]) + 4).reshape(400, 2, 3)
    noise = matched_noise(x, 1)
    assert noise.shape == x.shape and not torch.equal(noise, x)
    np.testing.assert_allclose(noise.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1), rtol=1e-5)
    assert float((noise.flatten(1).mean(0) - x.flatten(1).mean(0)).abs().max()) < 1
    assert torch.equal(matched_noise(x, 1), noise)


def test_a_homogeneous_network_is_told_nothing_of() -> None:
    none = planted(np.zeros(30))
    assert none.shape == "no crossing" and unsettled([none, planted(FLAT, "init")]) == []
    claims = _scaling_claims([none, planted(FLAT, "init")])
    assert [claim.verdict for claim in claims] == ["cannot tell", "cannot tell"]
    assert isinstance(none.prominence, Score) and "homogeneous" in claims[0].note
