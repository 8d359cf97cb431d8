"""The untrained network under the same curves, with transcoders of its own: what of faithfulness training did not make.

An untrained network gets no word right, so no prompts are its own. It is asked those of the trained one, and its target
is what the target of the trained network is there as well: the most probable next token, its foil the next one. Its
transcoders are trained like the others, on as many tokens (`sae train --untrained`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from llm_codes.lenses.faithfulness.prompts import Prompt
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, METRICS, Curve, UntrainedCurves
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, UntrainedModel
from llm_codes.lenses.saes.shipped import shipped_result
from llm_codes.models import Model

Measure = Callable[[Model, Sequence[LayerTranscoder], Sequence[Prompt]], Sequence[Curve]]
"""The curves of a model with these transcoders on these prompts."""


def own_targets(model: Model, prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts with the model's two most probable next tokens as target and foil."""
    out = []
    for prompt in prompts:
        with torch.no_grad():
            target, foil = model.logits(torch.tensor([prompt.tokens]))[0, -1].topk(2).indices.tolist()
        out.append(replace(prompt, target=target, foil=foil))
    return out


def untrained_curves(
    opened: UntrainedModel | None, prompts: Sequence[Prompt], made_from: Mapping[str, str], measure: Measure
) -> UntrainedCurves | None:
    """The curves of the untrained network, over all kinds of prompts: measured, or those that ship.

    opened: none: the results that ship with the embedded model, if they were made from the same (`made_from`).
    """
    if opened is None:
        return shipped_result("curves", made_from, UntrainedCurves)
    curves = measure(opened.model, opened.transcoders, own_targets(opened.model, prompts))
    kept = tuple(one for one in curves if (one.prompts, one.metric) == (ALL_KINDS, METRICS[0]))
    return UntrainedCurves(dict(made_from), opened.sha256, kept)
