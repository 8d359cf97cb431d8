"""One layer's circuit: outputs as equations, contexts, a prompt's view, known errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from eval.errors import UserError
from eval.measures.connectors.connector import Connector
from eval.measures.connectors.logic_forms import LogicForm
from eval.measures.dictionaries.feature_rows import FeatureRows
from llm_codes.lenses.circuits.reading import (
    carried_by_equations,
    equation_and_share,
    interesting_outputs,
    named_form,
    read_logic,
    terms,
)
from llm_codes.lenses.circuits.rows import (
    CircuitErrors,
    CircuitPage,
    PageInput,
    PageOutput,
    PromptPosition,
    PromptView,
)
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.logits import logits_effect
from llm_codes.lenses.saes.rows import Context
from llm_codes.models import Model

MAXIMUM_PROMPT = 64


def circuit_data(
    model: Model,
    first: SAEFolder,
    second: SAEFolder,
    connector: Connector,
    pairs: FeaturePairs,
    *,
    n_outputs: int = 120,
    n_contexts: int = 4,
    prompt: str = "",
) -> CircuitPage:
    """What the page shows of one layer: features, edges, errors, one prompt.

    Raises:
        UserError: no output feature fires and has edges; a prompt that does not fit.
    """
    best = interesting_outputs(connector, pairs, n_outputs)
    if not best:
        raise UserError("expected an output feature that fires and has edges; got none; read more --tokens")
    into, out_of = ContextIndex(pairs.inputs, pairs, model), ContextIndex(pairs.outputs, pairs, model)
    prompt = prompt or _default_prompt(out_of, best)
    order = list(dict.fromkeys([*best, *prompt_outputs(model, second, prompt)]))
    edges = tuple(
        (term.input, output, round(term.weight, 4), round(term.share, 4))
        for output in order
        for term in terms(connector, output, pairs.inputs)
    )
    outputs = _outputs(model, second, connector, pairs, best, order, (into, out_of), n_contexts)
    sources = sorted({edge[0] for edge in edges})
    return CircuitPage(
        {source: PageInput(*_entry(into, source, n_contexts)) for source in sources},
        outputs,
        edges,
        tuple(order),
        (f"{first.hook} (IF)", f"{second.hook_out} (OF)"),
        _errors(first, second, connector, pairs),
        keep_known_outputs(prompt_view(model, first, second, connector, prompt, set(sources)), set(outputs)),
    )


def _outputs(
    model: Model,
    second: SAEFolder,
    connector: Connector,
    pairs: FeaturePairs,
    best: Sequence[int],
    order: Sequence[int],
    indices: tuple[ContextIndex, ContextIndex],
    n_contexts: int,
) -> dict[int, PageOutput]:
    """Output features with equation, logic (of the best explained ones) and effect on the logits."""
    into, out_of = indices
    forms = {output: named_form(found) for output, found in read_logic(connector, pairs, best).items()}
    effects = logits_effect(model, second, order)
    scale, carried = pairs.inputs.root_mean_square(), carried_by_equations(connector, pairs, order)
    return {
        output: PageOutput(
            *_entry(out_of, output, n_contexts),
            equation_and_share(connector, output, scale, share),
            _words(forms.get(output), into),
            tuple(effect["promotes"]),
            tuple(effect["demotes"]),
        )
        for output, effect, share in zip(order, effects, carried, strict=True)
    }


def _entry(index: ContextIndex, feature: int, count: int) -> tuple[str, tuple[str, ...], float, tuple[Context, ...]]:
    """Label, tokens, density and contexts of a feature."""
    tokens, contexts = tuple(index.top_tokens(feature, 5)), tuple(index.contexts(feature, count))
    return index.label(feature), tokens, index.density(feature), contexts


def _words(form: LogicForm | None, into: ContextIndex) -> str | None:
    if form is None:
        return None
    names = {parent: f"IF_{parent} ({into.label(parent)})" for parent in form.parents}
    return f"{form.words(names)} (precision {form.precision:.2f}, recall {form.recall:.2f})"


def _default_prompt(index: ContextIndex, order: Sequence[int]) -> str:
    contexts = index.contexts(order[0], 1)
    return "".join(contexts[0].tokens) if contexts else "the"


def _errors(first: SAEFolder, second: SAEFolder, connector: Connector, pairs: FeaturePairs) -> CircuitErrors:
    """FVU of both dictionaries and of the connected output, on the sample of tokens."""
    n = len(pairs.x)
    written = second.decode(connector.predictor()(pairs.inputs.rows(slice(0, n))))

    def unexplained(made: torch.Tensor, target: torch.Tensor) -> float:
        return float((made - target).square().sum() / (target - target.mean(0)).square().sum().clamp_min(1e-12))

    first_made, second_made = first.reconstruct(pairs.x), second.decode(pairs.outputs.rows(slice(0, n)).dense())
    read = unexplained(first_made, pairs.x) if not first.is_transcoder else 0.0
    return CircuitErrors(read, unexplained(second_made, pairs.y), unexplained(written, pairs.y))


PER_POSITION = 4


def _prompt_tokens(model: Model, prompt: str) -> tuple[list[int], list[int], int]:
    """BOS (where the model has one), the prompt's tokens that fit on the page, and how many it has in all."""
    tokens = model.encode(prompt)
    if not tokens:
        raise UserError(f"expected a prompt with at least one token; got {prompt!r}; write some text")
    bos = [] if model.bos_token_id is None else [model.bos_token_id]
    if len(tokens) + len(bos) > model.context:
        raise UserError(
            f"expected a prompt of at most {model.context - len(bos)} tokens (the context of {model.name}); "
            f"got {len(tokens)}; shorten --prompt"
        )
    return bos, tokens[:MAXIMUM_PROMPT], len(tokens)


@torch.no_grad()
def prompt_outputs(model: Model, second: SAEFolder, prompt: str) -> list[int]:
    """The strongest output features at each position of a text, so that the page can show its circuit."""
    bos, tokens, _ = _prompt_tokens(model, prompt)
    seen = model.activations(torch.tensor([bos + tokens]), [second.hook_out])[second.hook_out]
    rows = second.encode_rows(seen[0, len(bos) :].float().cpu())
    values, places = rows.values.topk(min(PER_POSITION, rows.values.shape[1]), dim=1)
    return rows.indices.gather(1, places)[values > 0].tolist()


@torch.no_grad()
def prompt_view(
    model: Model, first: SAEFolder, second: SAEFolder, connector: Connector, prompt: str, known: set[int]
) -> PromptView:
    """Active features at every position of one text, real and predicted, with what the features miss.

    Of a prompt longer than `MAXIMUM_PROMPT` the first tokens are shown; `prompt_tokens_total` says how many it has.

    Raises:
        UserError: a prompt longer than the context, or without a token.
    """
    bos, tokens, total = _prompt_tokens(model, prompt)
    seen = model.activations(torch.tensor([bos + tokens]), [first.hook, second.hook_out])
    x, y = (seen[hook][0, len(bos) :].float().cpu() for hook in (first.hook, second.hook_out))
    inputs, outputs = first.encode_rows(x), second.encode_rows(y)
    predicted = connector.predictor()(inputs)
    written = second.decode(predicted)
    positions = []
    for i in range(len(tokens)):
        ins = _active(inputs, i)
        outs = [(f, v, round(float(predicted[i, f]), 4)) for f, v in _active(outputs, i)]
        positions.append(
            PromptPosition(
                tuple(item for item in ins if item[0] in known),
                tuple(outs),
                _relative(first.reconstruct(x[i : i + 1]) - x[i], x[i]),
                _relative(second.reconstruct(y[i : i + 1]) - y[i], y[i]),
                _relative(written[i] - y[i], y[i]),
            )
        )
    texts = tuple(model.token_strings(tokens))
    return PromptView(texts, tuple(positions), len(tokens) - 1, total)


def _active(rows: FeatureRows, token: int) -> list[tuple[int, float]]:
    """Active features of one token, `(feature, value)`."""
    pairs = zip(rows.indices[token].tolist(), rows.values[token].tolist(), strict=True)
    return [(feature, round(value, 4)) for feature, value in pairs if value > 0]


def _relative(error: torch.Tensor, target: torch.Tensor) -> float:
    return round(float(error.norm() / target.norm().clamp_min(1e-12)), 4)


def keep_known_outputs(view: PromptView, known: set[int]) -> PromptView:
    """Drop the prompt's output features that are not on the page (their number is kept as `outputs_not_shown`)."""
    positions = []
    for place in view.positions:
        kept = tuple(item for item in place.outputs if item[0] in known)
        positions.append(replace(place, outputs=kept, outputs_not_shown=len(place.outputs) - len(kept)))
    return replace(view, positions=tuple(positions))
