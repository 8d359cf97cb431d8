"""Results of circuits: features as equations, logic forms, the page's data, the whole evaluation of a chain."""

from __future__ import annotations

from eval.claims import Claim
from eval.result_json import noted
from eval.results import Result, result
from llm_codes.lenses.circuits.readable_rows import ReadableRow
from llm_codes.lenses.connectors.rows import EdgeValidation, FrontierRow, Intervention, Scorecard, ScorecardRow
from llm_codes.lenses.saes.rows import Context


@result
class Term(Result):
    """One edge of an output feature: weight, and its share of all edges' `|weight| rms(input)`."""

    input: int
    weight: float
    share: float
    fires_on: tuple[str, ...] | None = noted(default=None, when_set=True)


@result
class FeatureEquation(Result):
    """One output feature as its connector says it: equation, edges, the tokens it fires on, contexts. carried: share of
    its variance that the terms written in the equation carry, on the text read; none where it never varies."""

    feature: str
    equation: str
    fires_on: tuple[str, ...]
    density: float
    terms: tuple[Term, ...]
    contexts: tuple[Context, ...]
    carried: float | None = noted(default=None, when_set=True)


@result
class ShownFeature(Result):
    """`results.json` of `connector show`."""

    feature: FeatureEquation


@result
class FormRow(Result):
    """A logic form in words, with its numbers; `need` is the k of a k-of-n."""

    kind: str
    words: str
    parents: tuple[int, ...]
    need: int
    precision: float
    recall: float
    support: int
    adjusted_p: float


@result
class NamedForm(Result):
    """The form an output feature was named with, and the activations above which its features count as on."""

    output: int
    form: FormRow = noted(inline=True)
    output_on_above: float
    parents_on_above: tuple[float, ...]


@result
class LogicForms(Result):
    """Every form that was named, out of how many tested together; `named` counts them by kind.

    named_with_others, outputs_with_others: the control, each output tested over the parents of another output.
    """

    table = "forms"

    outputs_tested: int
    forms_tested: int
    named: dict[str, int]
    forms: tuple[NamedForm, ...] = ()
    named_with_others: dict[str, int] | None = noted(default=None, when_set=True)
    outputs_with_others: int | None = noted(default=None, when_set=True)


@result
class Circuit(Result):
    """One output feature with its logic (or why it has none) and its edges tested by intervention."""

    described: FeatureEquation = noted(inline=True)
    logic: FormRow | None
    logic_reason: str | None
    interventions: tuple[Intervention, ...]


@result
class UntrainedEvaluation(Result):
    """The control: the untrained network with dictionaries and a connector of its own, trained on an equal budget.

    made_from: of what the results beside it were made, by content. chain: hash of the control's own. scorecard: the
    connector and the rows that its share needs; logic_forms: counts alone.
    """

    made_from: dict[str, str]
    chain: str
    scorecard: tuple[ScorecardRow, ...]
    logic_forms: LogicForms


@result
class ChainEvaluation(Result):
    """`results.json` of `connector eval`; what was not measured is empty. untrained: none where neither folders nor
    results of it were at hand."""

    scorecard: Scorecard = noted(inline=True)
    frontier: tuple[FrontierRow, ...] = ()
    edge_validation: EdgeValidation | None = None
    logic_forms: LogicForms | None = None
    circuits: tuple[Circuit, ...] = ()
    edges_per_output: float | None = None
    edges_per_output_analytic: float | None = None
    l0: dict[str, float] | None = None
    missing_rows: dict[str, str] | None = None
    claims: tuple[Claim, ...] = ()
    readable: tuple[ReadableRow, ...] | None = noted(default=None, when_set=True)
    untrained: UntrainedEvaluation | None = noted(default=None, when_set=True)


@result
class ConfirmedForm(Result):
    """A named form on another text beside its first numbers; `reason` where it could not be tested."""

    output: int
    kind: str
    words: str
    parents: tuple[int, ...]
    kept: bool
    precision: float | None
    recall: float | None
    support: int | None
    adjusted_p: float | None
    first_precision: float
    first_recall: float
    reason: str | None = noted(default=None, when_set=True)


@result
class ConfirmedKind(Result):
    """Per kind: forms named at first, testable here, kept; medians of those testable."""

    kind: str
    named: int
    testable: int
    kept: int
    precision: float | None
    recall: float | None
    first_precision: float | None
    first_recall: float | None


@result
class Confirmation(Result):
    """`results.json` of `connector confirm`."""

    table = "summary"

    summary: tuple[ConfirmedKind, ...]
    forms: tuple[ConfirmedForm, ...]
    n_tokens: int
    n_documents: int


@result
class PageInput(Result):
    """An input feature on the page."""

    label: str
    top: tuple[str, ...]
    density: float
    contexts: tuple[Context, ...]


@result
class PageOutput(Result):
    """An output feature on the page."""

    label: str
    top: tuple[str, ...]
    density: float
    contexts: tuple[Context, ...]
    equation: str
    logic: str | None
    promotes: tuple[str, ...]
    demotes: tuple[str, ...]


@result
class PromptPosition(Result):
    """Active features at one position: `[feature, value]` in, `[feature, value, predicted]` out; relative errors."""

    inputs: tuple[tuple[int, float], ...]
    outputs: tuple[tuple[int, float, float], ...]
    error_in: float
    error_out: float
    error_connector: float
    outputs_not_shown: int = 0


@result
class PromptView(Result):
    """One text by position; `start` is shown first, `prompt_tokens_total` counts what does not fit as well."""

    tokens: tuple[str, ...]
    positions: tuple[PromptPosition, ...]
    start: int
    prompt_tokens_total: int


@result
class CircuitErrors(Result):
    """FVU of the dictionary before the MLP, of the one after, and of the connected output."""

    first: float
    second: float
    connector: float


@result
class CircuitPage(Result):
    """What the page shows: features by number, edges `(input, output, weight, share)`, best explained output first."""

    inputs: dict[int, PageInput]
    outputs: dict[int, PageOutput]
    edges: tuple[tuple[int, int, float, float], ...]
    order: tuple[int, ...]
    names: tuple[str, str]
    errors: CircuitErrors
    prompt: PromptView


@result
class CircuitSummary(Result):
    """`results.json` of `circuit`."""

    columns = ("outputs", "inputs", "edges", "page", "graph")

    outputs: int
    inputs: int
    edges: int
    errors: CircuitErrors
    page: str
    graph: str
    order: tuple[int, ...]
