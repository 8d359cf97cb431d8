"""A peak is told from decay, on planted densities and on noise."""

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.codes.ray_peak import ray_peak

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
