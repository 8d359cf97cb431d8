"""Coverage of the interval of an information estimate: 12 problems of known truth, 20 draws of 1000 samples each.

`python -m tests.benchmarks.benchmark_information` prints one JSON object: per problem the truth, the mean value, how
many intervals contain the truth and how many are undefined, in nats. Minutes on one thread.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from eval.measures.information import estimate_information
from tests.eval.measures.information.problems import PROBLEMS


def coverage(draws: int = 20, samples: int = 1000) -> dict[str, dict[str, float]]:
    """By problem: truth, mean of values and raw values, mean width, intervals that contain the truth, undefined."""
    found = {}
    for name, (draw, truth) in PROBLEMS.items():
        pairs = [draw(samples, np.random.default_rng(seed)) for seed in range(draws)]
        estimates = [estimate_information(x, y, units="nats", seed=seed) for seed, (x, y) in enumerate(pairs)]
        known = [one for one in estimates if one.score.interval is not None]
        ends = np.array([one.score.interval for one in known], float).reshape(-1, 2)
        found[name] = {
            "truth": truth,
            "value": float(np.mean(np.array([one.score.value for one in known], float))),
            "raw": float(np.mean([one.raw for one in known])),
            "width": float(np.diff(ends).mean()),
            "inside": int(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).sum()),
            "undefined": draws - len(known),
        }
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(coverage(), indent=1) + "\n")
