"""How each form of rule is fitted on the explain documents: clauses in the order of what they tell per bit.

| form | value of a clause | order |
|---|---|---|
| decision list | `greedy.grow` | as grown |
| back-off, token graph | (sum of y + s parent) / (n + s), the parent being the run one token shorter [Katz 1987] | \
n (value - parent's)^2 / bits |
| lag weights | additive, backfitted: residual sum / (n + s) at each lag in turn | n weight^2 / bits |

A token graph [N2G: Foote et al. 2023] holds the same paths as back-off; it pays for a shared beginning once, and grows
its tree from the activating token backwards as there. Theirs is pruned by an ablation of the model, ours by bits.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eval.explanation.rules.bits import clause_bits
from eval.explanation.rules.contexts import LAG_SETS, RUNS, Contexts
from eval.explanation.rules.fitted import Fitted, looked_at
from eval.explanation.rules.greedy import SHRINKAGE, grow
from eval.explanation.rules.reading import Reading
from eval.explanation.rules.rule import FULL, Clause

SWEEPS = 5
MOST_CLAUSES = 2000
_SINGLE = tuple(LAG_SETS.index((lag,)) for lag in range(len(RUNS)))


def clause_of(contexts: Contexts, pattern: int, value: float) -> Clause:
    """A numbered pattern as a clause, without trailing ``any``."""
    codes = contexts.codes[pattern].tolist()
    while len(codes) > 1 and codes[-1] < 0:
        codes.pop()
    words = tuple(contexts.words[code] if code >= 0 else None for code in codes)
    return Clause(words, value, int(contexts.head[pattern]))


def _clause_costs(contexts: Contexts, form: str, vocabulary: int) -> Float[np.ndarray, " pattern"]:
    by_size = np.array([clause_bits(form, n, vocabulary) for n in range(contexts.codes.shape[1] + 1)])
    return by_size[(contexts.codes >= 0).sum(1)]


def fit_decision_list(reading: Reading, y: np.ndarray, calibrate_y: np.ndarray, vocabulary: int, bits: float) -> Fitted:
    """Tokens at any choice of the last three places, or the head of the window; the first match counts."""
    contexts = reading.contexts
    costs = _clause_costs(contexts, "decision-list", vocabulary)
    steps = _steps("decision-list", bits, vocabulary)
    found = grow(y, contexts, costs, steps, calibrate_y, (reading.edges, reading.members))
    clauses = [clause_of(contexts, int(k), float(v)) for k, v in zip(found.pattern, found.level, strict=True)]
    correlation = found.correlation if len(calibrate_y) else np.full(len(clauses) + 1, np.nan)
    return Fitted("decision-list", clauses, found.rest, correlation, last_first=True)


def _steps(form: str, bits: float, vocabulary: int) -> int:
    return int(min(MOST_CLAUSES, max(1.0, bits / clause_bits(form, 0, vocabulary))))


def fit_runs(
    form: str, reading: Reading, y: np.ndarray, calibrate_y: np.ndarray, vocabulary: int, bits: float
) -> Fitted:
    """Back-off over runs of one, two and three tokens; ``form`` says how it is printed: back-off or token-graph."""
    contexts = reading.contexts
    value = np.full(len(contexts.size), np.nan)
    above = np.full(len(contexts.size), y.mean())
    for longer, family in enumerate(RUNS):
        mine = np.flatnonzero(contexts.family == family)
        held = contexts.pattern[family]
        total = np.bincount(held[held >= 0], y[held >= 0], minlength=len(value))[mine]
        if longer:
            one_member = contexts.members[contexts.first[mine]]
            above[mine] = value[contexts.pattern[RUNS[longer - 1]][one_member]]
        value[mine] = (total + SHRINKAGE * above[mine]) / (contexts.size[mine] + SHRINKAGE)
    gain = np.nan_to_num(contexts.size * (value - above) ** 2) / _clause_costs(contexts, "back-off", vocabulary)
    order = np.argsort(-gain, kind="stable")[: _steps("back-off", bits, vocabulary)]
    order = order[gain[order] > 0]
    turn = np.full(len(value), len(order))
    turn[order] = np.arange(len(order))
    rest = _rests(contexts.pattern[list(RUNS)], turn, y, len(order))

    def predict(n: int) -> np.ndarray:
        out = np.full(len(calibrate_y), rest[n])
        for family in RUNS:
            held = reading.calibrate[family]
            told = (held >= 0) & (turn[held] < n)
            out[told] = value[held[told]]
        return out

    clauses = [clause_of(contexts, int(k), float(value[k])) for k in order]
    return Fitted(form, clauses, rest, looked_at(len(order), predict, calibrate_y))


def _rests(pattern: np.ndarray, turn: np.ndarray, y: np.ndarray, n: int) -> Float[np.ndarray, " length"]:
    """Mean of the places that no clause covers yet, at each length."""
    when = np.where(pattern >= 0, turn[pattern], n).min(0)
    covered = np.cumsum(np.bincount(when, minlength=n + 1))[:n]
    total = np.cumsum(np.bincount(when, y, minlength=n + 1))[:n]
    left = len(y) - np.concatenate([[0], covered])
    return np.where(left > 0, (y.sum() - np.concatenate([[0.0], total])) / np.maximum(left, 1), y.mean())


def fit_lag_weights(reading: Reading, y: np.ndarray, calibrate_y: np.ndarray, vocabulary: int, bits: float) -> Fitted:
    """A weight for each token at each of the last three places, added up."""
    contexts = reading.contexts
    weight, base = np.zeros(len(contexts.size)), float(y.mean())
    held = contexts.pattern[list(_SINGLE)]
    own = np.where(held >= 0, held, 0)
    for _ in range(SWEEPS):
        for lag in range(len(_SINGLE)):
            told = np.where(held >= 0, weight[own], 0.0)
            residual = y - base - told.sum(0) + told[lag]
            place = held[lag][held[lag] >= 0]
            total = np.bincount(place, residual[held[lag] >= 0], minlength=len(weight))
            mine = contexts.family == _SINGLE[lag]
            weight[mine] = total[mine] / (contexts.size[mine] + 2 * SHRINKAGE)
    gain = contexts.size * weight**2 / _clause_costs(contexts, "lag-weights", vocabulary)
    order = np.argsort(-gain, kind="stable")[: _steps("lag-weights", bits, vocabulary)]
    order = order[gain[order] > 0]
    turn = np.full(len(weight), len(order))
    turn[order] = np.arange(len(order))

    def predict(n: int) -> np.ndarray:
        there = reading.calibrate[list(_SINGLE)]
        told = (there >= 0) & (turn[there] < n)
        return np.clip(base + np.where(told, weight[np.where(there >= 0, there, 0)], 0.0).sum(0), 0.0, FULL)

    clauses = [clause_of(contexts, int(k), float(weight[k])) for k in order]
    rest = np.full(len(order) + 1, base)
    return Fitted("lag-weights", clauses, rest, looked_at(len(order), predict, calibrate_y))


def best_word(reading: Reading, y: np.ndarray) -> str:
    """The bare word that correlates most with the unit on the explain documents."""
    contexts = reading.contexts
    mine = np.flatnonzero(contexts.family == 0)
    n = contexts.size[mine]
    total = np.bincount(contexts.pattern[0], y, minlength=len(contexts.size))[mine]
    lift = (total / n - y.mean()) * np.sqrt(n / np.maximum(len(y) - n, 1))
    return contexts.words[int(contexts.codes[mine[int(np.argmax(lift))], 0])]
