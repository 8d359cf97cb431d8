"""Does a feature fire like an OR, an AND, an AND-NOT or a k-of-n of its parents? From binarised co-activations.

A connector's row "0.6 a + 0.5 b" does not prove an OR: it may be that b only ever fires together with a, or that either
one alone is too weak. We therefore read the truth table. For a form over parents S, every pattern of S that matters
(a *critical cell*) must be seen, and the child's firing rate in it must lie on the right side of ``threshold``:

    single a     a on, b off: fires;   a off: silent
    OR(S)        each parent alone: fires;   none: silent
    AND(S)       all: fires;   all but one, for each one: silent
    a AND NOT b  a alone: fires;   a with b: silent;   b alone and none: silent
    k-of-n(S)    every pattern of k parents: fires;   every pattern of k - 1: silent

The p-value of a form is the largest of its cells' (intersection-union test: all must hold), and forms over all
children are corrected together (Benjamini-Hochberg; Holm on request). Tokens of one document are not independent: with
``groups`` a cell's p-value comes from its rate's variance *between documents*.

Axis glossary: ``token`` observations, ``parent`` candidate inputs of one child (few).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from eval.errors import UserError
from eval.measures.statistics.resampling import benjamini_hochberg, holm

MAXIMUM_PARENTS = 6


@dataclass(frozen=True)
class LogicForm:
    """One form tested on one child.

    kind: ``single``, ``or``, ``and``, ``and-not`` or ``k-of-n``.
    parents: names of its parents; for ``and-not`` the second is the negated one. need: k of a ``k-of-n``.
    precision: P(child | form); recall: P(form | child); support: tokens on which the form is true.
    p_value: of the weakest critical cell; adjusted: corrected over all forms and children tested.
    named: whether this is the child's one form, i.e. significant and the best of its significant forms.
    """

    kind: str
    parents: tuple[int, ...]
    need: int
    precision: float
    recall: float
    support: int
    p_value: float
    adjusted: float = float("nan")
    named: bool = False

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def words(self, names: Mapping[int, str] | None = None) -> str:
        """The form as text: ``a OR b``, ``a AND NOT b``, ``at least 2 of (a, b, c)``."""
        shown = [(names or {}).get(parent, str(parent)) for parent in self.parents]
        if self.kind == "and-not":
            return f"{shown[0]} AND NOT {shown[1]}"
        if self.kind == "k-of-n":
            return f"at least {self.need} of ({', '.join(shown)})"
        return f" {self.kind.upper()} ".join(shown)


@dataclass(frozen=True)
class _Candidate:
    """A form as its truth function over the chosen columns and its critical cells."""

    kind: str
    columns: tuple[int, ...]
    need: int

    def true_on(self, pattern: tuple[int, ...]) -> bool:
        if self.kind == "and-not":
            return pattern == (1, 0)
        return sum(pattern) >= self.need

    def critical(self) -> list[tuple[int, ...]]:
        patterns = itertools.product((0, 1), repeat=len(self.columns))
        if self.kind == "and-not":
            return list(patterns)
        return [pattern for pattern in patterns if sum(pattern) in (self.need - 1, self.need)]


def candidates(n_parents: int) -> list[_Candidate]:
    """Every form over up to four of the parents: singles, ORs, ANDs (up to three), AND-NOTs (both orders), k-of-n."""
    found = [_Candidate("single", (i,), 1) for i in range(n_parents)]
    for size in range(2, min(4, n_parents) + 1):
        for columns in itertools.combinations(range(n_parents), size):
            found.append(_Candidate("or", columns, 1))
            if size <= 3:
                found.append(_Candidate("and", columns, size))
            found += [_Candidate("k-of-n", columns, need) for need in range(2, size)]
    found += [_Candidate("and-not", pair, 1) for pair in itertools.permutations(range(n_parents), 2)]
    return found


def logic_forms(
    children: Mapping[int, tuple[Bool[np.ndarray, " token"], Bool[np.ndarray, "token parent"], Sequence[int]]],
    *,
    groups: Int[np.ndarray, " token"] | None = None,
    threshold: float = 0.5,
    minimum_support: int = 10,
    minimum_f1: float = 0.5,
    level: float = 0.05,
    correction: str = "benjamini-hochberg",
) -> dict[int, list[LogicForm]]:
    """Which Boolean form, if any, does each child follow?

    Args:
        children: for each child, whether it fires, whether each parent fires, and the parents' names.
        groups: the document of each token; cell p-values then come from the variance between documents.
        threshold: the firing rate that separates a firing cell from a silent one.
        minimum_support: tokens a critical cell needs; a form with an unseen critical cell is not tested.
        minimum_f1: a form that explains the child worse than this is not named, however significant its cells.
        level: false-discovery level over all tested forms (``correction``: ``benjamini-hochberg`` or ``holm``).

    Returns:
        For each child its tested forms, best F1 first; at most one has ``named=True``. An empty list means that no
        form could be tested (a critical cell was never seen).

    Raises:
        UserError: more than 6 parents, an unknown correction.
    """
    if correction not in ("benjamini-hochberg", "holm"):
        raise UserError(f"expected correction 'benjamini-hochberg' or 'holm'; got {correction!r}; choose one of them")
    tested: dict[int, list[LogicForm]] = {}
    for child, (fires, parents, names) in children.items():
        if len(names) > MAXIMUM_PARENTS:
            raise UserError(
                f"expected at most {MAXIMUM_PARENTS} parents; got {len(names)} for {child}; pass the strongest edges"
            )
        tested[child] = _test_child(fires, parents, names, groups, threshold, minimum_support)
    adjust = holm if correction == "holm" else benjamini_hochberg
    flat = adjust(np.array([form.p_value for forms in tested.values() for form in forms]))
    return _name(tested, flat, level, minimum_f1)


@dataclass(frozen=True)
class _Plan:
    """Every candidate over n parents, and every critical cell as a mask over the 2^n patterns of the parents."""

    candidates: tuple[_Candidate, ...]
    masks: np.ndarray  # [cell pattern]
    expected: np.ndarray  # [cell]
    owner: np.ndarray  # [cell] index into candidates
    true: np.ndarray  # [candidate pattern]


@lru_cache
def _plan(n_parents: int) -> _Plan:
    codes = np.arange(1 << n_parents)
    bits = (codes[:, None] >> np.arange(n_parents)) & 1
    found = tuple(candidates(n_parents))
    masks, expected, owner, true = [], [], [], []
    for number, candidate in enumerate(found):
        chosen = bits[:, list(candidate.columns)]
        true.append([candidate.true_on(tuple(row)) for row in chosen.tolist()])
        for pattern in candidate.critical():
            masks.append((chosen == pattern).all(1))
            expected.append(candidate.true_on(pattern))
            owner.append(number)
    return _Plan(found, np.array(masks, float), np.array(expected), np.array(owner), np.array(true, float))


def _count(fires: np.ndarray, parents: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and firings of every pattern of the parents, ``[pattern group]`` each."""
    n_patterns = 1 << parents.shape[1]
    code = parents.astype(bool) @ (1 << np.arange(parents.shape[1]))
    index = np.zeros(len(code), dtype=int) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(index.max()) + 1 if len(index) else 1
    flat = code * n_groups + index
    size = n_patterns * n_groups
    seen, fired = np.bincount(flat, minlength=size), np.bincount(flat[fires.astype(bool)], minlength=size)
    return seen.reshape(n_patterns, n_groups), fired.reshape(n_patterns, n_groups)


def _test_child(
    fires: np.ndarray,
    parents: np.ndarray,
    names: Sequence[int],
    groups: np.ndarray | None,
    threshold: float,
    minimum_support: int,
) -> list[LogicForm]:
    """Every candidate whose critical cells were all seen."""
    plan = _plan(len(names))
    seen, fired = _count(np.asarray(fires), np.asarray(parents), groups)
    p_values = cell_p_values(plan.masks @ seen, plan.masks @ fired, plan.expected, threshold, groups is not None)
    enough = (plan.masks @ seen).sum(1) >= minimum_support
    support, both = plan.true @ seen.sum(1), plan.true @ fired.sum(1)
    firings = max(1, int(fired.sum()))
    forms = []
    for number, candidate in enumerate(plan.candidates):
        cells = plan.owner == number
        if not enough[cells].all():
            continue
        precision = both[number] / support[number] if support[number] else 0.0
        forms.append(
            LogicForm(
                candidate.kind,
                tuple(int(names[i]) for i in candidate.columns),
                candidate.need,
                float(precision),
                float(both[number] / firings),
                int(support[number]),
                float(p_values[cells].max()),
            )
        )
    return forms


def cell_p_values(
    seen: Float[np.ndarray, "cell group"],
    fired: Float[np.ndarray, "cell group"],
    expected: Bool[np.ndarray, " cell"],
    threshold: float,
    clustered: bool = False,
) -> Float[np.ndarray, " cell"]:
    """Is the firing rate in each cell on the expected side of ``threshold``? One-sided p in (0, 1].

    Exact binomial over tokens. If ``clustered``, a t-test of the pooled rate whose variance is that of the documents'
    sums (cluster-robust), never smaller than the binomial p; with fewer than five documents p = 1.
    """
    n, count = seen.sum(1), fired.sum(1)
    agreeing = np.where(expected, count, n - count)
    rate = np.where(expected, threshold, 1 - threshold)
    p_values = np.where(agreeing > 0, special.betainc(np.maximum(agreeing, 1), n - agreeing + 1, rate), 1.0)
    if not clustered:
        return p_values
    n_groups = (seen > 0).sum(1)
    share = np.divide(count, n, out=np.zeros_like(n), where=n > 0)
    spread = np.sum((fired - seen * share[:, None]) ** 2, axis=1)
    usable = np.maximum(n_groups, 2)
    error = np.sqrt(usable / (usable - 1) * spread) / np.maximum(n, 1)
    gap = np.where(expected, share - threshold, threshold - share)
    # where every document agrees, each counts once
    unanimous = np.where(gap > 0, rate**n_groups, 1.0)
    student = special.stdtr(usable - 1, -gap / np.where(error > 0, error, 1.0))
    p_clustered = np.where(error > 0, student, unanimous)
    return np.where(n_groups < 5, 1.0, np.maximum(p_values, p_clustered))


def _name(
    tested: dict[int, list[LogicForm]], adjusted: np.ndarray, level: float, minimum_f1: float
) -> dict[int, list[LogicForm]]:
    """Write the adjusted p-values in and name the best significant form of each child (the simpler one on a tie)."""
    out, place = {}, 0
    for child, forms in tested.items():
        values = adjusted[place : place + len(forms)]
        place += len(forms)
        ranked = [replace(form, adjusted=float(p)) for form, p in zip(forms, values, strict=True)]
        ranked.sort(key=lambda form: (-round(form.f1, 9), len(form.parents)))
        best = next((form for form in ranked if form.adjusted <= level and form.f1 >= minimum_f1), None)
        out[child] = [replace(form, named=form is best) for form in ranked]
    return out


def retest_forms(
    forms: Sequence[tuple[LogicForm, Bool[np.ndarray, " token"], Bool[np.ndarray, "token _"]]],
    *,
    groups: Int[np.ndarray, " token"] | None = None,
    threshold: float = 0.5,
    minimum_support: int = 10,
    minimum_f1: float = 0.5,
    level: float = 0.05,
) -> list[LogicForm]:
    """Do forms that were named on one text hold on another?

    Each form is tested as it stands, by the same rule as when it was named; nothing is searched again.

    Args:
        forms: each form with whether its child fires and whether its parents do (columns in the form's own order).
        groups, threshold, minimum_support, minimum_f1, level: as in ``logic_forms``.

    Returns:
        The forms in the order given with their numbers on this text; ``named`` says whether the form kept its name:
        p-value adjusted over exactly these forms (Benjamini-Hochberg) at most ``level``, F1 at least ``minimum_f1``. A
        form with a critical cell that was hardly seen (fewer than ``minimum_support`` tokens) counts as p = 1 and has
        ``support`` -1: it could not be tested.
    """
    found = []
    for form, fires, parents in forms:
        tested = _test_child(fires, parents, form.parents, groups, threshold, minimum_support)
        same = (one for one in tested if (one.kind, one.parents, one.need) == (form.kind, form.parents, form.need))
        unseen = replace(form, precision=float("nan"), recall=float("nan"), support=-1, p_value=1.0)
        found.append(next(same, unseen))
    adjusted = benjamini_hochberg(np.array([form.p_value for form in found]))
    return [
        replace(form, adjusted=float(p), named=bool(p <= level and form.support >= 0 and form.f1 >= minimum_f1))
        for form, p in zip(found, adjusted, strict=True)
    ]
