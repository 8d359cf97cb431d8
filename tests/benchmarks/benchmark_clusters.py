"""Clustering of packed codes side by side with scikit-learn and hdbscan, in one run.

Ratios are of CPU seconds (all threads of the process counted), which is unfair to the parallel kernels here and does
not depend on what else the machine does; wall seconds are printed beside them. Planted codes are what the rivals are
compared on; codes without clusters (random bits, and signs of correlated Gaussians) show what does not depend on them.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from eval.measures.clustering.clusters import cluster_codes
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes

N_BITS = 9216
SIZE = int(os.environ.get("NEURAL_CODES_BENCHMARK_CODES", "5000"))


def planted(n: int, n_clusters: int = 20, flip: float = 0.2) -> tuple[SplineCodes, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    centres = generator.random((n_clusters, N_BITS)) < 0.5
    truth = generator.integers(0, n_clusters, n)
    code_map = CodeMap((CodePart("a", "relu", (N_BITS,)),), "x", "planted")
    pieces, bits = [], np.empty((n, N_BITS), dtype=bool) if n <= 10_000 else np.empty((0, N_BITS), dtype=bool)
    for start in range(0, n, 1000):
        rows = centres[truth[start : start + 1000]]
        rows ^= generator.random(rows.shape, dtype=np.float32) < flip
        pieces.append(SplineCodes.hard(code_map, {"a": np.where(rows, np.float32(1), np.float32(-1))}))
        if len(bits):
            bits[start : start + 1000] = rows
    return SplineCodes.concatenate(pieces), truth, bits


def seconds(compute):
    """(result, CPU seconds, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = compute()
    return result, time.process_time() - cpu, time.perf_counter() - wall


@pytest.mark.benchmark
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("rival", "factor"), [("hdbscan", 50), ("scikit-learn", 100)])
def test_codes_cluster_many_times_faster(rival, factor):
    codes, truth, bits = planted(SIZE)
    cluster_codes(codes[:1000])  # compile
    ours, cpu, wall = seconds(lambda: cluster_codes(codes, min_cluster_size=20))
    if rival == "hdbscan":
        from hdbscan import HDBSCAN

        theirs = HDBSCAN(min_cluster_size=20, metric="hamming", core_dist_n_jobs=1)
    else:
        from sklearn.cluster import HDBSCAN

        theirs = HDBSCAN(min_cluster_size=20, metric="hamming", copy=True)
    fitted, their_cpu, their_wall = seconds(lambda: theirs.fit(bits.astype(np.float64)))
    ours_rand, theirs_rand = (adjusted_rand_score(truth, labels) for labels in (ours.labels, fitted.labels_))
    print(
        f"\n{len(codes)} codes: ours {cpu:.2f} s CPU ({wall:.2f} wall), {rival} {their_cpu:.1f} ({their_wall:.1f}): "
        f"ratio {their_cpu / cpu:.0f} CPU, {their_wall / wall:.0f} wall; Rand {ours_rand:.4f} and {theirs_rand:.4f}"
    )
    assert ours_rand >= 0.995 or ours_rand >= theirs_rand
    order = np.random.default_rng(1).permutation(len(codes))
    assert (cluster_codes(codes[order], min_cluster_size=20).labels == ours.labels[order]).all()
    assert their_cpu / cpu >= factor


def _large(n: int) -> None:
    codes, truth, _ = planted(n, 60)
    cluster_codes(codes[:1000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, cpu, wall = seconds(lambda: cluster_codes(codes, min_cluster_size=20))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rand = adjusted_rand_score(truth, found.labels)
    print(
        f"{n} codes: {cpu:.1f} s CPU, {wall:.1f} s wall, peak {peak / 1e6:.2f} GB (before {before / 1e6:.2f}), "
        f"Rand {rand:.4f}"
    )
    assert rand >= 0.995 and peak < 1e6 and wall < 60
    order = np.random.default_rng(1).permutation(n)
    assert (cluster_codes(codes[order], min_cluster_size=20).labels == found.labels[order]).all()


def without_clusters(kind: str, n: int) -> SplineCodes:
    """`uniform`: random bits; `correlated`: signs of 64 Gaussians, falling in variance, mixed, shifted and noisy."""
    generator = np.random.default_rng(0)
    code_map = CodeMap((CodePart("a", "relu", (N_BITS,)),), "x", kind)
    mixing = generator.normal(size=(64, N_BITS)) / np.sqrt(np.arange(1, 65))[:, None]
    shift, pieces = 1.5 * generator.normal(size=N_BITS) - 1, []
    for start in range(0, n, 1000):
        values = generator.normal(size=(min(1000, n - start), N_BITS))
        if kind == "correlated":
            values = generator.normal(size=(len(values), 64)) @ mixing + shift + 0.3 * values
        pieces.append(SplineCodes.hard(code_map, {"a": values.astype(np.float32)}))
    return SplineCodes.concatenate(pieces)


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["uniform", "correlated"])
def test_codes_without_clusters_take_no_longer(kind):
    codes, (reference, _, _) = without_clusters(kind, 20_000), planted(20_000)
    cluster_codes(codes[:1000])
    found, cpu, wall = seconds(lambda: cluster_codes(codes, min_cluster_size=20))
    _, planted_cpu, _ = seconds(lambda: cluster_codes(reference, min_cluster_size=20))
    print(
        f"\n20000 {kind} codes: {cpu:.2f} s CPU ({wall:.2f} wall), {found.n_clusters} clusters, "
        f"{found.noise_share:.0%} noise; as many planted ones {planted_cpu:.2f} s CPU"
    )
    assert cpu < 2 * planted_cpu


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_fifty_thousand_codes_fit_in_a_minute_and_a_gigabyte():
    """In a process of its own, because peak memory is a process's."""
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, __file__, "50000"], check=True, env={**os.environ, "PYTHONPATH": root})


if __name__ == "__main__":
    _large(int(sys.argv[1]))
