"""`python -m llm_codes connector confirm`: logic forms that were named on one text, tested once more on another.

Naming a form is a search over thousands; what it finds on a text that choices were made on needs a text that nobody
looked at. The forms, the levels above which a feature counts as on, and the rule are those of the first run. Of the
same corpus, split and seed the windows that the first run read are left out. Axes: token, parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.measures.connectors.logic_forms import LogicForm, retest_forms
from llm_codes.lenses.connectors.pairs import FeaturePairs

KINDS = ("single", "or", "and-not", "and", "k-of-n")


def confirm_forms(forms: Sequence[Mapping[str, Any]], pairs: FeaturePairs) -> list[dict[str, Any]]:
    """Each form with its numbers on this text: `kept`, `precision`, `recall`, `support`, `adjusted_p`, and the first
    text's as `first_precision`, `first_recall`; `reason` where it could not be tested. Documents are the units."""
    tests = []
    for form in forms:
        fires = pairs.outputs.column(form["output"]).numpy() > form["output_on_above"]
        on = pairs.inputs.columns(form["parents"]).numpy() > np.array(form["parents_on_above"])
        nan = float("nan")
        tests.append((LogicForm(form["kind"], tuple(form["parents"]), form["need"], nan, nan, 0, nan), fires, on))
    out = []
    for form, now in zip(forms, retest_forms(tests, groups=pairs.document), strict=True):
        line = {key: form[key] for key in ("output", "kind", "words", "parents")} | {"kept": now.named}
        if now.support < 0:
            line |= {"precision": None, "recall": None, "support": None, "adjusted_p": None}
            line["reason"] = "a critical pattern of the parents was seen on fewer than 10 tokens"
        else:
            line |= {"precision": now.precision, "recall": now.recall, "support": now.support}
            line["adjusted_p"] = now.adjusted
        out.append(line | {"first_precision": form["precision"], "first_recall": form["recall"]})
    return out


def summary(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per kind: forms named at first, testable here, kept; median precision and recall of the testable ones."""
    out = []
    for kind in KINDS:
        mine = [line for line in lines if line["kind"] == kind]
        seen = [line for line in mine if line["precision"] is not None]
        row: dict[str, Any] = {"kind": kind, "named": len(mine), "testable": len(seen)}
        row["kept"] = sum(line["kept"] for line in seen)
        for name in ("precision", "recall", "first_precision", "first_recall"):
            row[name] = float(np.median([line[name] for line in seen])) if seen else None
        out.append(row)
    return out
