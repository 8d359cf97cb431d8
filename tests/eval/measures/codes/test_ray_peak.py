"""A peak is told from decay, on planted densities and on noise."""

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.codes.ray_peak import _shape, ray_peak
from eval.scores import Score

S = np.linspace(0, 3, 31)
MIDDLE = (S[1:] + S[:-1]) / 2


def rays(density, n=40, seed=0):
    generator = np.random.default_rng(seed)
    brightness = generator.uniform(0.5, 2, size=(n, 1))
    return generator.poisson(brightness * density[None])


def test_a_planted_peak_is_found_where_it_is():
    found = ray_peak(rays(20 + 80 * np.exp(-(((MIDDLE - 0.6) / 0.2) ** 2))), S)
    assert found.shape == "peak" and found.location.value == pytest.approx(0.6, abs=0.11)
    assert found.location.low > 0.35 and found.location.high < 0.85 and found.rise.low > 1 and found.fall.low > 1


def test_monotone_decay_is_no_peak_although_most_crossings_lie_inside():
    counts = rays(100 * np.exp(-1.5 * MIDDLE))
    assert np.log2(counts[:, :10].mean() / counts[:, 10:].mean()) > 1.5  # what the ratio took for a peak
    found = ray_peak(counts, S)
    assert found.shape == "decay" and found.fall.low > 1 and found.rise.high < 0.2 and found.location.high <= 0.35


def test_growth_and_flat_densities_are_called_that():
    assert ray_peak(rays(100 * (0.2 + MIDDLE)), S).shape == "growth"
    shapes = [ray_peak(rays(np.full(30, 30.0), seed=seed), S).shape for seed in range(20)]
    assert shapes.count("flat") >= 17 and "peak" not in shapes  # the highest of many bins is not a rise


def test_degenerate_rays_have_defined_answers():
    none = ray_peak(np.zeros((12, 30)), S)
    assert none.shape == "no crossing" and "homogeneous" in none.rise.reason
    assert ray_peak(rays(100 * np.exp(-MIDDLE), n=4), S).shape == "undecided"
    assert not none.location.is_defined and not none.fall.is_defined
    with pytest.raises(UserError, match=r"at least 9 bins, and their edges; got \(3, 5\), 6"):
        ray_peak(np.ones((3, 5)), np.linspace(0, 1, 6))


def test_the_numbers_are_those_of_the_other_half_written_out():
    """Two kinds of rays, alternating: each half finds its own highest place, the other half says how high that is."""
    even, odd = np.full(12, 4.0), np.full(12, 2.0)
    even[[4, 5, 6]] = 32.0  # highest at bins 4..6
    odd[[7, 8, 9]] = 16.0
    counts = np.tile(np.stack([even, odd]), (8, 1))
    s = np.linspace(0, 2.4, 13)
    found = ray_peak(counts, s, n_resamples=100)
    window = [float(np.mean((even + odd)[i : i + 3])) for i in range(10)]
    assert found.location.value == pytest.approx(0.2 * np.argmax(window) + 0.3) and found.location.n == 16
    first, second = np.log2(np.mean(odd[4:7]) / 2), np.log2(np.mean(even[7:10]) / 4)
    assert found.rise.value == pytest.approx((first + second) / 2)
    end = np.log2(np.mean(odd[4:7]) / np.mean(odd[9:])), np.log2(np.mean(even[7:10]) / np.mean(even[9:]))
    assert found.fall.value == pytest.approx(np.mean(end))
    ends = max(odd[:3].mean(), odd[9:].mean()), max(even[:3].mean(), even[9:].mean())
    assert found.prominence.value == pytest.approx(
        np.mean([np.log2(np.mean(odd[4:7]) / ends[0]), np.log2(np.mean(even[7:10]) / ends[1])])
    )


def test_rays_of_one_document_are_one_ray():
    counts = rays(20 + 80 * np.exp(-(((MIDDLE - 0.6) / 0.2) ** 2)), n=40)
    together = np.stack([counts[i::10].sum(0) for i in range(10)])
    assert ray_peak(counts, S, groups=np.arange(40) % 10, seed=3) == ray_peak(together, S, seed=3)


def test_eight_rays_are_enough_and_wider_confidence_is_wider():
    density = 20 + 80 * np.exp(-(((MIDDLE - 0.6) / 0.2) ** 2))
    assert ray_peak(rays(density, n=8), S).shape == "peak" and ray_peak(rays(density, n=7), S).shape == "undecided"
    usual, wide = ray_peak(rays(density), S).rise, ray_peak(rays(density), S, confidence=0.999).rise
    assert wide.low < usual.low < usual.high < wide.high


def test_nine_bins_are_the_least_and_edges_are_one_more():
    assert ray_peak(np.ones((9, 9)), np.linspace(0, 1, 10)).shape == "flat"
    for shape, edges in (((9, 8), 9), ((9, 9), 9), ((9, 9), 11)):
        with pytest.raises(
            UserError, match=rf"expected \[ray, bin\] with at least 9 bins, and their edges; got .*{edges}"
        ):
            ray_peak(np.ones(shape), np.linspace(0, 1, edges))


@pytest.mark.parametrize(
    ("rise", "fall", "shape"),
    [(0.2, 0.2, "peak"), (-0.2, 0.2, "decay"), (0.2, -0.2, "growth"), (-0.2, -0.2, "flat"), (0.0, 0.0, "flat")],
)
def test_the_shape_is_read_off_the_lower_ends(rise, fall, shape):
    assert _shape(Score(0.5, rise, 0.9), Score(0.5, fall, 0.9)) == shape
    assert _shape(Score(0.5), Score(0.5, 0.2, 0.9)) == "undecided"
