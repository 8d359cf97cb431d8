"""Decision lists, grown one clause at a time: which pattern, told next, lowers the squared error most per bit?

A list starts as one value, the mean. Each step prepends the clause with the largest

    [ sum over its places of (y - p)^2 - sum of (y - l)^2 ] / bits,    l = (sum of y + s mean of p) / (n + s),

p being what the list so far predicts there and s = 2 a shrinkage towards it. So the first clauses tell most, and the
list of any length is the head of a longer one. Along the way the correlation on other documents (calibrate) is kept:
the length is chosen where that is highest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eval.explanation.rules.contexts import Contexts
from eval.measures.compiled import compiled

SHRINKAGE = 2.0


@dataclass(frozen=True, eq=False)
class Growth:
    """Clauses in the order they were told: pattern, level, the mean of all places not covered then, and the correlation
    on the calibrate documents; entry 0 of ``rest`` and ``correlation`` is the list without a clause."""

    pattern: Int[np.ndarray, " step"]
    level: Float[np.ndarray, " step"]
    rest: Float[np.ndarray, " length"]
    correlation: Float[np.ndarray, " length"]


@compiled()
def _grow(y, pattern, first, members, bits, steps, shrinkage, other_y, other_first, other_members):  # pragma: no cover
    n_patterns, n_families, n_places = len(bits), pattern.shape[0], len(y)
    sum_y, sum_yy = np.zeros(n_patterns), np.zeros(n_patterns)
    sum_p, sum_error = np.zeros(n_patterns), np.zeros(n_patterns)
    mean = y.mean()
    p = np.full(n_places, mean)
    for f in range(n_families):
        for i in range(n_places):
            k = pattern[f, i]
            if k >= 0:
                sum_y[k] += y[i]
                sum_yy[k] += y[i] * y[i]
                sum_p[k] += mean
                sum_error[k] += (y[i] - mean) ** 2
    covered = np.zeros(n_places, dtype=np.bool_)
    uncovered, uncovered_sum = n_places, y.sum()
    q = np.full(len(other_y), mean)
    n_other = len(other_y)
    sum_q, sum_qq, sum_qy = q.sum(), (q * q).sum(), (q * other_y).sum()
    a, aa = other_y.sum(), (other_y * other_y).sum()
    out_pattern, out_level = np.zeros(steps, dtype=np.int64), np.zeros(steps)
    out_rest, out_r = np.full(steps + 1, mean), np.zeros(steps + 1)
    used = np.zeros(n_patterns, dtype=np.bool_)
    for step in range(steps):
        best, best_gain, best_level = -1, 1e-9, 0.0
        for k in range(n_patterns):
            n = first[k + 1] - first[k]
            if used[k] or n == 0:
                continue
            level = (sum_y[k] + shrinkage * sum_p[k] / n) / (n + shrinkage)
            gain = (sum_error[k] - (sum_yy[k] - 2 * level * sum_y[k] + n * level * level)) / bits[k]
            if gain > best_gain:
                best, best_gain, best_level = k, gain, level
        if best < 0:
            return out_pattern[:step], out_level[:step], out_rest[: step + 1], out_r[: step + 1]
        used[best] = True
        out_pattern[step], out_level[step] = best, best_level
        for j in range(first[best], first[best + 1]):
            i = members[j]
            if not covered[i]:
                covered[i] = True
                uncovered -= 1
                uncovered_sum -= y[i]
            for f in range(n_families):
                k = pattern[f, i]
                if k >= 0:
                    sum_p[k] += best_level - p[i]
                    sum_error[k] += (y[i] - best_level) ** 2 - (y[i] - p[i]) ** 2
            p[i] = best_level
        for j in range(other_first[best], other_first[best + 1]):
            i = other_members[j]
            sum_q += best_level - q[i]
            sum_qq += best_level**2 - q[i] ** 2
            sum_qy += (best_level - q[i]) * other_y[i]
            q[i] = best_level
        out_rest[step + 1] = uncovered_sum / uncovered if uncovered else mean
        if n_other:
            spread = (sum_qq / n_other - (sum_q / n_other) ** 2) * (aa / n_other - (a / n_other) ** 2)
            if spread > 1e-18:
                out_r[step + 1] = (sum_qy / n_other - sum_q * a / n_other**2) / np.sqrt(spread)
    return out_pattern, out_level, out_rest, out_r


def grow(
    y: Float[np.ndarray, " place"],
    contexts: Contexts,
    bits: Float[np.ndarray, " pattern"],
    steps: int,
    calibrate_y: Float[np.ndarray, " other"],
    calibrate: tuple[Int[np.ndarray, " edge"], Int[np.ndarray, " member"]],
) -> Growth:
    """The list for one unit. y: 0..10 at the places of ``contexts``. calibrate: first and members of every pattern on
    the calibrate documents, where the unit does ``calibrate_y``."""
    found = _grow(
        np.ascontiguousarray(y, dtype=np.float64),
        contexts.pattern,
        contexts.first,
        contexts.members,
        np.ascontiguousarray(bits, dtype=np.float64),
        steps,
        SHRINKAGE,
        np.ascontiguousarray(calibrate_y, dtype=np.float64),
        *calibrate,
    )
    return Growth(*found)
