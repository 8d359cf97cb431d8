"""Logic forms as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.measures.connectors.logic_forms import LogicForm
from llm_codes.lenses.circuits.reading import on_levels
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.contexts import ContextIndex


def form_json(form: LogicForm, into: ContextIndex) -> dict[str, Any]:
    """A form as `results.json` holds it; parents are labelled with tokens they fire on."""
    words = {parent: f"IF_{parent} ({into.label(parent)})" for parent in form.parents}
    return {
        "kind": form.kind,
        "words": form.words(words),
        "parents": list(form.parents),
        "need": form.need,
        "precision": form.precision,
        "recall": form.recall,
        "support": form.support,
        "adjusted_p": form.adjusted,
    }


def named_forms_json(
    named: Mapping[int, LogicForm | None], pairs: FeaturePairs, into: ContextIndex
) -> list[dict[str, Any]]:
    """Every named form with the levels above which its features count as on: what a second test needs."""
    levels_in, levels_out = on_levels(pairs.inputs), on_levels(pairs.outputs)
    return [
        {"output": output, **form_json(form, into), "output_on_above": float(levels_out[output])}
        | {"parents_on_above": [float(levels_in[parent]) for parent in form.parents]}
        for output, form in named.items()
        if form is not None
    ]
