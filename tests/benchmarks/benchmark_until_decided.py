"""How many units does `explain --until-decided` take, against a design whose size is fixed beforehand?

Scores of two kinds of units, normal with standard deviation .2 and cut to -1..1, six comparisons at once (a level of
.05 / 6 each), a margin of .1, looks after every 8 pairs, at most 400. The fixed design has as many pairs as Student's t
needs at the same level to find a difference of the margin's size with a power of .9.

    python tests/benchmarks/benchmark_until_decided.py 1000
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from scipy import stats

from eval.measures.statistics.confidence_sequences import betting_sequence

EFFECTS = (0.0, 0.05, 0.1, 0.2, 0.3)
SPREAD, MARGIN, LEVEL, MOST, LOOK = 0.2, 0.1, 1 - 0.05 / 6, 400, 8


def fixed_pairs() -> int:
    """Pairs for a power of .9 at the margin."""
    spread = SPREAD * np.sqrt(2)
    return next(n for n in range(3, 10_000) if _power(n, MARGIN / spread) >= 0.9)


def _power(n: int, effect: float) -> float:
    limit = stats.t.ppf((1 + LEVEL) / 2, n - 1)
    shifted = stats.nct(n - 1, effect * np.sqrt(n))
    return float(shifted.sf(limit) + shifted.cdf(-limit))


def watched(rng: np.random.Generator, effect: float) -> tuple[int, str, bool]:
    """(pairs until the stop, verdict, whether the interval missed the difference at any look)."""
    a, b = (rng.normal(mean, SPREAD, MOST).clip(-1, 1) for mean in (0.4 + effect, 0.4))
    low, high = betting_sequence(a - b, low=-2.0, high=2.0, level=LEVEL, candidates=1000)
    missed = bool(np.any((low > effect) | (high < effect)))  # cutting moves the means by less than .002
    looks = np.arange(LOOK - 1, MOST, LOOK)
    for at in looks:
        if low[at] > 0 or high[at] < 0:
            return int(at + 1), "above" if low[at] > 0 else "below", missed
        if -MARGIN <= low[at] and high[at] <= MARGIN:
            return int(at + 1), "within the margin", missed
    return MOST, "undecided", missed


def cell(effect: float, runs: int, seed: int = 0) -> dict[str, object]:
    """One effect size: pairs, verdicts, miscoverage under continuous watching."""
    found = [watched(np.random.default_rng([seed, run]), effect) for run in range(runs)]
    pairs = np.array([n for n, _, _ in found])
    verdicts = {name: float(np.mean([verdict == name for _, verdict, _ in found])) for name in {v for _, v, _ in found}}
    return {
        "effect": effect,
        "runs": runs,
        "pairs, mean": float(pairs.mean()),
        "pairs, 10% to 90%": np.quantile(pairs, [0.1, 0.9]).tolist(),
        "saved against the fixed design": float(1 - pairs.mean() / fixed_pairs()),
        "verdicts": verdicts,
        "missed at any look": float(np.mean([missed for *_, missed in found])),
    }


DRAWS = {
    "differences of scores (beta - beta)": (lambda rng, n: rng.beta(3, 4, n) - rng.beta(3, 4, n), -1.0, 0.0),
    "rare ones (3%)": (lambda rng, n: (rng.random(n) < 0.03).astype(float), 0.0, 0.03),
    "a fair coin": (lambda rng, n: rng.integers(0, 2, n).astype(float), 0.0, 0.5),
}


def miscoverage(name: str, runs: int) -> dict[str, object]:
    """Share of runs of 400 values in which the 95% interval missed the mean at any look."""
    draw, low, mean = DRAWS[name]
    missed = 0
    for run in range(runs):
        ends = betting_sequence(draw(np.random.default_rng([1, run]), MOST), low=low, high=1.0, candidates=500)
        missed += bool(np.any((ends[0] > mean) | (ends[1] < mean)))
    return {"values": name, "runs": runs, "missed at any look": missed / runs}


@pytest.mark.slow
def test_a_large_difference_takes_fewer_units_than_the_fixed_design() -> None:
    found = cell(0.3, 40)
    assert found["saved against the fixed design"] > 0.3 and found["missed at any look"] <= 0.05  # type: ignore[operator]


if __name__ == "__main__":
    n_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sys.stdout.write(json.dumps({"fixed pairs": fixed_pairs()}) + "\n")
    for values in DRAWS:
        sys.stdout.write(json.dumps(miscoverage(values, n_runs)) + "\n")
    for size in EFFECTS:
        sys.stdout.write(json.dumps(cell(size, n_runs)) + "\n")
