"""`python -m llm_codes connector confirm`: logic forms that were named on one text, tested once more on another.

Naming a form is a search over thousands; what it finds on a text that choices were made on needs a text that nobody
looked at. The forms, the levels above which a feature counts as on, and the rule are those of the first run. Of the
same corpus, split and seed the windows that the first run read are left out. Axes: token, parent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.measures.connectors.logic_forms import LogicForm, retest_forms
from llm_codes.lenses.circuits.rows import ConfirmedForm, ConfirmedKind, NamedForm
from llm_codes.lenses.connectors.pairs import FeaturePairs

KINDS = ("single", "or", "and-not", "and", "k-of-n")


def confirm_forms(forms: Sequence[NamedForm], pairs: FeaturePairs) -> list[ConfirmedForm]:
    """Each form with its numbers on this text and the first text's; a reason where it could not be tested. Documents
    are the units."""
    tests = []
    nan = float("nan")
    for named in forms:
        form = named.form
        fires = pairs.outputs.column(named.output).numpy() > named.output_on_above
        on = pairs.inputs.columns(form.parents).numpy() > np.array(named.parents_on_above)
        tests.append((LogicForm(form.kind, form.parents, form.need, nan, nan, 0, nan), fires, on))
    found = retest_forms(tests, groups=pairs.document)
    return [_confirmed(named, now) for named, now in zip(forms, found, strict=True)]


def _confirmed(named: NamedForm, now: LogicForm) -> ConfirmedForm:
    form, seen = named.form, now.support >= 0
    return ConfirmedForm(
        named.output,
        form.kind,
        form.words,
        form.parents,
        now.named,
        now.precision if seen else None,
        now.recall if seen else None,
        now.support if seen else None,
        now.adjusted if seen else None,
        form.precision,
        form.recall,
        None if seen else "a critical pattern of the parents was seen on fewer than 10 tokens",
    )


def summary(lines: Sequence[ConfirmedForm]) -> list[ConfirmedKind]:
    """Per kind: forms named at first, testable here, kept; median precision and recall of the testable ones."""
    out = []
    for kind in KINDS:
        mine = [line for line in lines if line.kind == kind]
        seen = [line for line in mine if line.precision is not None]
        names = ("precision", "recall", "first_precision", "first_recall")
        medians = (float(np.median([getattr(line, name) for line in seen])) if seen else None for name in names)
        out.append(ConfirmedKind(kind, len(mine), len(seen), sum(line.kept for line in seen), *medians))
    return out
