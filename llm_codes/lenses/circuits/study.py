"""One layer's circuit: outputs as equations, contexts, a prompt's view, known errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from eval.errors import UserError
from eval.measures.connectors.connector import Connector, FeatureRows
from eval.result_json import to_json
from llm_codes.lenses.circuits.reading import equation, interesting_outputs, named_form, read_logic, terms
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.logits import logits_effect
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
) -> dict[str, Any]:
    """What the page shows: `inputs`, `outputs`, `edges`, `order`, `errors`, `prompt`, `names`."""
    best = interesting_outputs(connector, pairs, n_outputs)
    if not best:
        raise UserError("expected an output feature that fires and has edges; got none; read more --tokens")
    into, out_of = ContextIndex(pairs.inputs, pairs, model), ContextIndex(pairs.outputs, pairs, model)
    prompt = prompt or _default_prompt(out_of, best)
    order = list(dict.fromkeys([*best, *prompt_outputs(model, second, prompt)]))
    found = {output: terms(connector, output, pairs.inputs) for output in order}
    edges = [
        [term["input"], output, round(term["weight"], 4), round(term["share"], 4)]
        for output, rows in found.items()
        for term in rows
    ]
    forms = read_logic(connector, pairs, best)
    effects = logits_effect(model, second, order)
    outputs, scale = {}, pairs.inputs.root_mean_square()
    for output, effect in zip(order, effects, strict=True):
        form = named_form(forms.get(output, []))
        names = {} if form is None else {p: f"IF_{p} ({into.label(p)})" for p in form.parents}
        words = (
            None if form is None else f"{form.words(names)} (precision {form.precision:.2f}, recall {form.recall:.2f})"
        )
        extra = {"equation": equation(connector, output, scale), "logic": words, **effect}
        outputs[output] = _entry(out_of, output, n_contexts) | extra
    inputs = {source: _entry(into, source, n_contexts) for source in sorted({edge[0] for edge in edges})}
    names = [f"{first.hook} (IF)", f"{second.hook_out} (OF)"]
    data = {"inputs": inputs, "outputs": outputs, "edges": edges, "order": order, "names": names}
    data["errors"] = _errors(first, second, connector, pairs)
    data["prompt"] = prompt_view(model, first, second, connector, prompt, set(inputs))
    return data


def _entry(index: ContextIndex, feature: int, count: int) -> dict[str, Any]:
    return {
        "label": index.label(feature),
        "top": index.top_tokens(feature, 5),
        "density": index.density(feature),
        "contexts": to_json(index.contexts(feature, count)),
    }


def _default_prompt(index: ContextIndex, order: Sequence[int]) -> str:
    contexts = index.contexts(order[0], 1)
    return "".join(contexts[0].tokens) if contexts else "the"


def _errors(first: SAEFolder, second: SAEFolder, connector: Connector, pairs: FeaturePairs) -> dict[str, float]:
    """FVU of both dictionaries and of the connected output, on the sample of tokens."""
    n = len(pairs.x)
    written = second.decode(connector.predictor()(pairs.inputs.rows(slice(0, n))))

    def unexplained(made: torch.Tensor, target: torch.Tensor) -> float:
        return float((made - target).square().sum() / (target - target.mean(0)).square().sum().clamp_min(1e-12))

    first_made, second_made = first.reconstruct(pairs.x), second.decode(pairs.outputs.rows(slice(0, n)).dense())
    return {
        "first": unexplained(first_made, pairs.x) if not first.is_transcoder else 0.0,
        "second": unexplained(second_made, pairs.y),
        "connector": unexplained(written, pairs.y),
    }


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
) -> dict[str, Any]:
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
        outs = [[f, v, round(float(predicted[i, f]), 4)] for f, v in _active(outputs, i)]
        positions.append(
            {
                "inputs": [item for item in ins if item[0] in known],
                "outputs": outs,
                "error_in": _relative(first.reconstruct(x[i : i + 1]) - x[i], x[i]),
                "error_out": _relative(second.reconstruct(y[i : i + 1]) - y[i], y[i]),
                "error_connector": _relative(written[i] - y[i], y[i]),
            }
        )
    texts = model.token_strings(tokens)
    return {"tokens": texts, "positions": positions, "start": len(tokens) - 1, "prompt_tokens_total": total}


def _active(rows: FeatureRows, token: int) -> list[list[Any]]:
    """Active features of one token, `[feature, value]`."""
    pairs = zip(rows.indices[token].tolist(), rows.values[token].tolist(), strict=True)
    return [[feature, round(value, 4)] for feature, value in pairs if value > 0]


def _relative(error: torch.Tensor, target: torch.Tensor) -> float:
    return round(float(error.norm() / target.norm().clamp_min(1e-12)), 4)


def keep_known_outputs(data: dict[str, Any]) -> dict[str, Any]:
    """Drop the prompt's output features that are not on the page (their number is kept as `outputs_not_shown`)."""
    known = set(data["outputs"])
    for place in (data["prompt"] or {}).get("positions", []):
        kept = [item for item in place["outputs"] if item[0] in known]
        place["outputs_not_shown"] = len(place["outputs"]) - len(kept)
        place["outputs"] = kept
    return data
