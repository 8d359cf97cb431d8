"""Exact geometry of a 64-256-256-256 perceptron: milliseconds a segment, seconds a slice. `make benchmark` prints them.

Times are the best of several runs in CPU time of this process, so that a shared machine does not decide the verdict.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from eval.measures.segments import sampled_crossings, segment_crossings
from eval.measures.slices import plane_slice, plane_through
from eval.measures.tracing import trace
from tests.eval.measures.piecewise_networks import perceptron

pytestmark = pytest.mark.benchmark


def _best(function, repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


@pytest.fixture(scope="module")
def program():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield trace(perceptron(64, 256, 256, 256, 10), torch.zeros(64)).to(torch.float64)
    torch.set_num_threads(threads)


def test_exact_crossings_under_three_milliseconds_and_equal_to_sampling(program) -> None:
    start, end = torch.randn(2, 64, dtype=torch.float64)
    exact = segment_crossings(program, start, end)
    sampled = sampled_crossings(program, start, end, n_samples=100_001, batch_size=10_000)
    seconds = _best(lambda: segment_crossings(program, start, end), 100)
    print(f"\nsegment: {exact.count} crossings, {1e3 * seconds:.2f} ms; 100,000 samples find {sampled.count}")
    assert sampled.count == exact.count
    assert seconds < 3e-3


def test_slice_under_a_second_with_areas_and_codes(program) -> None:
    plane, _ = plane_through(torch.randn(3, 64))
    window = plane.zoomed(0.1)
    found = plane_slice(program, window)
    seconds = _best(lambda: plane_slice(program, window), 3)
    codes = found.centroid_codes(program)
    distinct = len(torch.unique(codes, dim=0))
    error = abs(found.area.sum() / window.area - 1)
    print(f"\nslice: {found.n_regions} regions in {seconds:.2f} s; area error {error:.1e}; {distinct} distinct codes")
    assert found.n_regions > 1500 and distinct == found.n_regions and error < 1e-6
    assert np.allclose(program(window.points(found.centroid)), found.values)
    assert seconds < 1
