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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from eval.errors import UserError
from eval.measures.connectors.truth_tables import cell_p_values, count_patterns, plan_of
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


def _test_child(
    fires: np.ndarray,
    parents: np.ndarray,
    names: Sequence[int],
    groups: np.ndarray | None,
    threshold: float,
    minimum_support: int,
) -> list[LogicForm]:
    """Every candidate whose critical cells were all seen."""
    plan = plan_of(len(names))
    seen, fired = count_patterns(np.asarray(fires), np.asarray(parents), groups)
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
