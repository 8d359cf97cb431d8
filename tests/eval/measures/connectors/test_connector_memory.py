"""Peak memory of fitting a connector, measured in a fresh process: a 24k x 24k connector must fit in 16 GB."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
SIZE = 4096
MEASURED = """
import resource, sys
import torch
from eval.measures.connectors.fit import ConnectorFit, fit_connector
from eval.measures.dictionaries.feature_rows import FeatureRows

def rows(width, seed):
    generator = torch.Generator().manual_seed(seed)
    indices = torch.rand(512, width, generator=generator).topk(32, dim=1).indices
    return FeatureRows(indices, torch.rand(512, 32, generator=generator) + 0.1, width)

def fit(width, start):
    initial = (torch.ones(width, width), torch.zeros(width)) if start else None  # the caller's, not the fit's
    inputs, outputs, metric = rows(width, 0), rows(width, 1), torch.ones(width, 64)
    resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
    options = ConnectorFit(steps=3, refit_steps=2, fit_batch_size=128)
    fit_connector(inputs, outputs, options, metric=metric, initial=initial)
    return peak() - resident

def peak():  # of this process: ru_maxrss would begin with what its parent held when it forked
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

torch.set_num_threads(1)
fit(64, False)  # kernels are compiled and libraries loaded before anything is measured
print(fit(int(sys.argv[1]), sys.argv[2] == "dense start"))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory from /proc")
@pytest.mark.parametrize("start", ["random start", "dense start"])
def test_fitting_takes_little_more_than_four_matrices(start):
    """Weight, two moments, gradient; measured 4.5 with masks and batches, where out-of-place updates took 7.4."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURED, str(SIZE), start]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    matrices = int(out.stdout) / (4 * SIZE**2)
    assert 3.5 < matrices < 4.8
    assert matrices * 4 * 24_576**2 < 16e9 * 0.8
