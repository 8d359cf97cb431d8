"""Exact geometry of a 64-256-256-256 perceptron: milliseconds a segment, seconds a slice. `make benchmark` prints them.

Times are CPU time of this process on one thread; the verdict takes the best of several runs, so that a shared machine
does not decide it, and the median run is printed beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.measures.geometry.planes import plane_through
from eval.measures.geometry.sampled_segments import sampled_crossings
from eval.measures.geometry.segments import segment_crossings
from eval.measures.geometry.slices import plane_slice
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron

pytestmark = pytest.mark.benchmark


def _times(function, repeats: int) -> list[float]:
    """CPU seconds of each run after a first one, rising."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return sorted(times)


@pytest.fixture(scope="module")
def program():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield trace(perceptron(64, 256, 256, 256, 10), torch.zeros(64)).to(torch.float64)
    torch.set_num_threads(threads)


def test_exact_crossings_under_three_milliseconds_and_equal_to_sampling() -> None:
    """In a process of its own: the tests check shapes and types at every call of a measure, which users do not."""
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, __file__], check=True, env={**os.environ, "PYTHONPATH": root})


def _segments() -> None:
    torch.set_num_threads(1)
    program = trace(perceptron(64, 256, 256, 256, 10), torch.zeros(64)).to(torch.float64)
    best, middle, counts = [], [], []
    for start, end in torch.randn(10, 2, 64, dtype=torch.float64):
        counts.append(segment_crossings(program, start, end).count)
        times = _times(lambda start=start, end=end: segment_crossings(program, start, end), 50)
        best.append(1e3 * times[0])
        middle.append(1e3 * times[len(times) // 2])
        if len(counts) <= 2:
            sampled = sampled_crossings(program, start, end, n_samples=100_001, batch_size=10_000)
            assert sampled.count == counts[-1]
    print(
        f"\n10 segments, {min(counts)} to {max(counts)} crossings (100,001 samples find as many on the 2 sampled): "
        f"best run {min(best):.2f} to {max(best):.2f} ms, median {np.median(best):.2f}; "
        f"median run {min(middle):.2f} to {max(middle):.2f} ms, median {np.median(middle):.2f}"
    )
    assert np.median(best) < 3


def test_slice_under_a_second_with_areas_and_codes(program) -> None:
    plane, _ = plane_through(torch.randn(3, 64))
    window = plane.zoomed(0.1)
    found = plane_slice(program, window)
    seconds = _times(lambda: plane_slice(program, window), 3)[0]
    codes = found.centroid_codes(program)
    distinct = len(torch.unique(codes, dim=0))
    error = abs(found.area.sum() / window.area - 1)
    print(f"\nslice: {found.n_regions} regions in {seconds:.2f} s; area error {error:.1e}; {distinct} distinct codes")
    assert found.n_regions > 1500 and distinct == found.n_regions and error < 1e-6
    assert np.allclose(program(window.points(found.centroid)), found.values)
    assert seconds < 1


if __name__ == "__main__":
    _segments()
