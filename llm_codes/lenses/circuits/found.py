"""Circuits worth reading in a chain: logic forms of the best explained outputs, their edges tested by intervention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from eval.measures.connectors.logic_forms import LogicForm
from eval.results import Result, result
from llm_codes.lenses.circuits.forms import form_row, named_forms
from llm_codes.lenses.circuits.reading import describe_feature, interesting_outputs, named_form, read_logic
from llm_codes.lenses.circuits.rows import Circuit, LogicForms
from llm_codes.lenses.connectors.files import Chain
from llm_codes.lenses.connectors.interventions import validate_edges
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.models import Model

KINDS = ("or", "and-not", "and", "k-of-n")
NO_FORM = "no form survived the correction, or its critical cells were not seen"
SHOWN = 8


@result
class ReadCircuits(Result):
    """Logic forms, and the circuits that are shown."""

    logic_forms: LogicForms
    circuits: tuple[Circuit, ...]


def read_circuits(
    model: Model,
    chain: Chain,
    pairs: FeaturePairs,
    function: Callable[[Tensor], Tensor],
    n_outputs: int,
    seed: int = 0,
) -> ReadCircuits:
    """Logic forms of the `n_outputs` best explained output features; up to three circuits of each kind, then the best
    explained ones, `SHOWN` in all, with equation, contexts and interventions. function: the MLP alone."""
    outputs = interesting_outputs(chain.connector, pairs, n_outputs)
    forms = read_logic(chain.connector, pairs, outputs)
    named = _named(forms)
    into, out_of = ContextIndex(pairs.inputs, pairs, model), ContextIndex(pairs.outputs, pairs, model)
    by_kind = {kind: [o for o, form in named.items() if form is not None and form.kind == kind] for kind in KINDS}
    shown = list(dict.fromkeys([*(o for found in by_kind.values() for o in found[:3]), *outputs]))[:SHOWN]
    circuits = []
    for output in shown:
        found = describe_feature(output, chain.connector, pairs, into, out_of)
        form = named.get(output)
        sources = form.parents if form else [term.input for term in found.terms[:3]]
        weights = dict(chain.connector.edges(output))
        edges = [(output, source, weights[source]) for source in sources]
        tested = validate_edges(function, chain.first, chain.second, chain.connector, pairs, edges, seed=seed)
        cut = replace(found, terms=found.terms[:SHOWN])
        logic = None if form is None else form_row(form, into)
        circuits.append(Circuit(cut, logic, None if form else NO_FORM, tested.interventions))
    tested_forms, names = sum(map(len, forms.values())), tuple(named_forms(named, pairs, into))
    others = read_logic(chain.connector, pairs, outputs, others=True)
    logic_forms = LogicForms(len(forms), tested_forms, _counts(named), names, _counts(_named(others)), len(others))
    return ReadCircuits(logic_forms, tuple(circuits))


def count_forms(chain: Chain, pairs: FeaturePairs, n_outputs: int) -> LogicForms:
    """How many of the `n_outputs` best explained output features are named, by kind of form."""
    forms = read_logic(chain.connector, pairs, interesting_outputs(chain.connector, pairs, n_outputs))
    return LogicForms(len(forms), sum(map(len, forms.values())), _counts(_named(forms)))


def _named(forms: Mapping[int, Sequence[LogicForm]]) -> dict[int, LogicForm | None]:
    return {output: named_form(found) for output, found in forms.items()}


def _counts(named: Mapping[int, LogicForm | None]) -> dict[str, int]:
    """Output features by the kind of form that they were named with."""
    return {kind: sum(f is not None and f.kind == kind for f in named.values()) for kind in ("single", *KINDS)}
