"""Read a connector: equations, logic forms, logits effects, and the circuits worth showing.

    OF_30 = relu(0.26 IF_2797 + 0.23 IF_259 + 0.10 IF_946 - 0.02)

Weights are per unit of input feature; `share` is `|w| rms(IF_j)` over the sum of all edges of that output, because
a large weight on a feature that hardly fires moves little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.connectors.connector import Connector
from eval.measures.connectors.logic_forms import LogicForm, logic_forms
from eval.measures.connectors.readable import CARRIED, variance_carried
from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.measures.statistics.binomial import binomial_share
from eval.scores import Score
from llm_codes.lenses.circuits.readable_rows import Readable, ReadableRow
from llm_codes.lenses.circuits.rows import FeatureEquation, Term
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.contexts import ContextIndex

ON_ABOVE = 0.5
EQUATION_TERMS = 5  # written out; with more nobody reads it
SAMPLE = 8192  # tokens on which what terms carry is measured
COUNTS = (3, 5, 10)


def feature_number(text: str, n_features: int, prefix: str = "OF") -> int:
    """`OF_30` or `30` as a number.

    Raises:
        UserError: not a feature of this dictionary.
    """
    plain = text.removeprefix(f"{prefix}_")
    if not plain.isdigit() or int(plain) >= n_features:
        raise UserError(
            f"unknown feature {text!r}: expected {prefix}_0 to {prefix}_{n_features - 1}; choose one of those"
        )
    return int(plain)


def equation(connector: Connector, output: int, scale: Tensor | None = None, most: int = EQUATION_TERMS) -> str:
    """One output feature as a sum of its strongest edges: by `|w|`, or by attribution `|w| scale` where given.

    A large weight on a feature that hardly fires says little, so that readers are shown the second order.
    """
    edges = connector.edges(output)
    if scale is not None:
        edges.sort(key=lambda edge: -abs(edge[1]) * float(scale[edge[0]]))
    shown = [f"{'-' if w < 0 else '+'} {abs(w):.2f} IF_{j}" for j, w in edges[:most]]
    bias = float(connector.bias[output])
    tail = [f"{'-' if bias < 0 else '+'} {abs(bias):.2f}"] if abs(bias) >= 0.005 else []
    more = [f"+ ({len(edges) - most} smaller)"] if len(edges) > most else []
    text = " ".join(shown + more + tail).removeprefix("+ ") or "0"
    return f"OF_{output} = relu({text})" if connector.activation == "relu" else f"OF_{output} = {text}"


def equation_and_share(connector: Connector, output: int, scale: Tensor, carried: float | None) -> str:
    """The equation, and how much of the output's variance the terms written out carry."""
    share = "undefined: it never varies" if carried is None else f"{carried:.0%} of its variance"
    return f"{equation(connector, output, scale)}; the terms written out carry {share}"


def terms(connector: Connector, output: int, inputs: FeatureRows) -> list[Term]:
    """Edges of one output with weight and share of attribution, strongest attribution first."""
    scale = inputs.root_mean_square()
    sized = [(abs(weight) * float(scale[source]), source, weight) for source, weight in connector.edges(output)]
    total = sum(size for size, _, _ in sized) or 1.0
    sized.sort(key=lambda row: -row[0])
    return [Term(source, weight, size / total) for size, source, weight in sized]


def decisive_parents(connector: Connector, output: int, inputs: FeatureRows, count: int = 4) -> list[int]:
    """The input features that decide most often, by the connector alone (what the output really did is not looked at,
    so that testing it on the same tokens is fair).

    Raising edges: mean contribution where the connector fires. Lowering edges: where taking the edge out would make it
    fire. Half of the places go to each side, as far as there are any.
    """
    edges = connector.edges(output)
    if not edges:
        return []
    contributions = inputs.columns([source for source, _ in edges]) * torch.tensor([weight for _, weight in edges])
    drive = contributions.sum(1, keepdim=True) + connector.bias[output]
    raising = (contributions.clamp_min(0) * (drive > 0)).mean(0)
    lowering = (-contributions * ((contributions < 0) & (drive <= 0) & (drive - contributions > 0))).mean(0)
    up = [edges[i][0] for i in raising.argsort(descending=True).tolist() if raising[i] > 0]
    down = [edges[i][0] for i in lowering.argsort(descending=True).tolist() if lowering[i] > 0]
    n_down = min(len(down), count // 2)
    n_up = min(len(up), count - n_down)
    return up[:n_up] + down[: count - n_up]


def read_logic(
    connector: Connector,
    pairs: FeaturePairs,
    outputs: Sequence[int],
    *,
    n_parents: int = 4,
    on_above: float = ON_ABOVE,
    seed_level: float = 0.05,
    minimum_support: int = 10,
    others: bool = False,
) -> dict[int, list[LogicForm]]:
    """Logic forms of output features over their decisive parents, on held-out tokens, documents as the units.

    others: the control, each output over the parents of the one that stands half the list further on: as many and as
    lively inputs, but not its own.

    A feature counts as on above `on_above` times its root mean square when active: TopK keeps as many features on a
    token where few matter as where many do. All forms of all features given are corrected together
    (Benjamini-Hochberg at `seed_level`).
    """
    children = {}
    least_in, least_out = (on_levels(rows, on_above) for rows in (pairs.inputs, pairs.outputs))
    parents_of = [decisive_parents(connector, output, pairs.inputs, n_parents) for output in outputs]
    shift = max(1, len(outputs) // 2) if others else 0
    for output, parents in zip(outputs, [*parents_of[shift:], *parents_of[:shift]], strict=True):
        if not parents:
            continue
        fires = pairs.outputs.column(output).numpy() > float(least_out[output])
        if fires.sum() < minimum_support:
            continue
        active = (pairs.inputs.columns(parents) > least_in[parents]).numpy()
        children[output] = (fires, active, parents)
    return logic_forms(children, groups=pairs.document, minimum_support=minimum_support, level=seed_level)


def on_levels(rows: FeatureRows, on_above: float = ON_ABOVE) -> Tensor:
    """Above which activation each feature counts as on: `on_above` times its root mean square when active."""
    return on_above * rows.root_mean_square() / rows.density().clamp_min(1e-12).sqrt()


def named_form(forms: Sequence[LogicForm]) -> LogicForm | None:
    """The form a feature was named with, or `None`."""
    return next((form for form in forms if form.named), None)


def describe_feature(
    output: int,
    connector: Connector,
    pairs: FeaturePairs,
    into: ContextIndex,
    out_of: ContextIndex,
    n_contexts: int = 4,
) -> FeatureEquation:
    """What `connector show` prints of one output feature: equation, labelled terms, contexts."""
    found = terms(connector, output, pairs.inputs)
    return FeatureEquation(
        f"OF_{output}",
        equation(connector, output, pairs.inputs.root_mean_square()),
        tuple(out_of.top_tokens(output)),
        out_of.density(output),
        tuple(replace(term, fires_on=tuple(into.top_tokens(term.input))) for term in found),
        tuple(out_of.contexts(output, n_contexts)),
        carried_by_equations(connector, pairs, [output])[0],
    )


def carried_by_equations(connector: Connector, pairs: FeaturePairs, outputs: Sequence[int]) -> list[float | None]:
    """Share of each output's variance that the terms of its equation carry; none where it never varies."""
    sample = slice(0, SAMPLE)
    dense = pairs.inputs.rows(sample).dense(), pairs.outputs.rows(sample).dense()
    found = variance_carried(connector, *dense, (EQUATION_TERMS,), outputs)[0].tolist()
    return [None if share != share else share for share in found]


def readable(connector: Connector, pairs: FeaturePairs) -> Readable:
    """How many outputs are carried to 80% of their variance by at most 3, 5, 10 terms, and by all they have."""
    inputs, outputs = pairs.inputs.rows(slice(0, SAMPLE)).dense(), pairs.outputs.rows(slice(0, SAMPLE)).dense()
    live = ((connector.starts.diff() > 0) & (outputs.var(0) > 0)).nonzero().flatten().tolist()
    shares = variance_carried(connector, inputs, outputs, (*COUNTS, connector.n_inputs), live)
    rows = []
    for name, share in zip((*map(str, COUNTS), "all"), shares, strict=True):
        hits = int((share >= CARRIED).sum())
        middle = float(share.median()) if live else None
        of_live = binomial_share(hits, len(live)) if live else Score.undefined("no output fires and has edges", 0)
        rows.append(ReadableRow(name, len(live), hits, of_live, middle))
    return Readable(tuple(rows))


def interesting_outputs(connector: Connector, pairs: FeaturePairs, count: int, minimum_tokens: int = 30) -> list[int]:
    """Output features that fire on at least `minimum_tokens` tokens and are best predicted by their edges.

    Ordered by the share of the feature's variance that the connector explains on these tokens, so that what is shown
    first is what the connector says most about, not what looks best.
    """
    n = min(len(pairs.inputs), 8192)
    predicted = connector.predictor()(pairs.inputs.rows(slice(0, n)))
    actual = pairs.outputs.rows(slice(0, n)).dense()
    error = (predicted - actual).square().mean(0)
    spread = actual.var(0, unbiased=False)
    explained = torch.where(spread > 0, 1 - error / spread.clamp_min(1e-12), -torch.inf)
    often = (actual > 0).sum(0) >= minimum_tokens
    has_edges = connector.starts.diff() > 0
    explained = torch.where(often & has_edges, explained, -torch.inf)
    order = explained.argsort(descending=True)
    return [int(i) for i in order[:count] if explained[i] > -torch.inf]
