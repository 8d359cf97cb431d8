"""Is the recurrent state that is read the one that the model runs on? Checked on the model itself, once.

    state[t] = decay[t] * state[t-1] + write[t]        mixer output = out_proj(norm or gate(C[t] state[t] + D x[t]))

TransformerLens reads the state by running the scan step by step in place of the fused one (Gu and Dao 2023, "Mamba",
section 3.2). The mixer's output must be the same both ways: it is computed from the state that is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from llm_codes.content_hashes import once_per_weights
from llm_codes.inside.findings import InsideChecks
from llm_codes.inside.views import STATE, Text, spread
from llm_codes.site_checks import probe_tokens, relative_error, tolerance

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel


def state_hook(model: HookedModel, layer: int) -> str | None:
    """The hook point of a layer's recurrent state, whatever its mixer is called; `None` without one."""
    start = f"blocks.{layer}."
    return next((n for n in sorted(model.hook_names) if n.startswith(start) and n.endswith(STATE)), None)


@once_per_weights
def state_checks(model: HookedModel) -> InsideChecks:
    """The check of every layer that has a state."""
    found, errors = InsideChecks(), []
    states = {layer: hook for layer in range(model.n_layers) if (hook := state_hook(model, layer))}
    outputs = {layer: f"{hook.rpartition('.')[0]}.hook_out" for layer, hook in states.items()}
    tokens = probe_tokens(model.vocabulary_size, model.context)
    text = Text(1, tokens.shape[1], model.context)
    fused: dict[str, Tensor] = {}
    steps: dict[str, Tensor] = {}
    if states:
        model.stream(tokens, list(outputs.values()), fused.__setitem__)
        model.stream(tokens, [*states.values(), *outputs.values()], steps.__setitem__)
    for layer in range(model.n_layers):
        state, true = steps.get(states.get(layer, "")), fused.get(outputs.get(layer, ""))
        if state is None or true is None:
            found.reasons["ssm_state", layer] = "no recurrent state is read here"
            continue
        error = relative_error(steps[outputs[layer]], true)
        if not error < tolerance(true.dtype):
            found.reasons["ssm_state", layer] = f"the mixer run on it differs from the model's own by {error:.0%}"
            continue
        errors.append(error)
        _, _, items, width = spread(state, states[layer], text).shape
        found.shapes["ssm_state", layer] = (int(items), int(width))
    return InsideChecks(found.shapes, found.reasons, max(errors, default=None))
