"""Logic forms as results: in words, with the levels that a second test needs."""

from __future__ import annotations

from collections.abc import Mapping

from eval.measures.connectors.logic_forms import LogicForm
from llm_codes.lenses.circuits.reading import on_levels
from llm_codes.lenses.circuits.rows import FormRow, NamedForm
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.contexts import ContextIndex


def form_row(form: LogicForm, into: ContextIndex) -> FormRow:
    """A form as `results.json` holds it; parents are labelled with tokens they fire on."""
    words = form.words({parent: f"IF_{parent} ({into.label(parent)})" for parent in form.parents})
    numbers = (form.precision, form.recall, form.support, form.adjusted)
    return FormRow(form.kind, words, form.parents, form.need, *numbers)


def named_forms(named: Mapping[int, LogicForm | None], pairs: FeaturePairs, into: ContextIndex) -> list[NamedForm]:
    """Every named form with the levels above which its features count as on: what a second test needs."""
    levels_in, levels_out = on_levels(pairs.inputs), on_levels(pairs.outputs)
    return [
        NamedForm(
            output,
            form_row(form, into),
            float(levels_out[output]),
            tuple(float(levels_in[parent]) for parent in form.parents),
        )
        for output, form in named.items()
        if form is not None
    ]
