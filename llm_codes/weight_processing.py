"""Weights rewritten so that the model computes the same in other coordinates, as some published SAEs expect.

| name | what it does (nanda and bloom, TransformerLens) |
|---|---|
| `fold_ln` | scale and offset of every LayerNorm move into the maps that read it |
| `center_writing_weights` | what is written to the residual stream has mean zero over its width |
| `center_unembed` | logits have mean zero over the vocabulary |
| `fold_value_biases` | value biases move into the bias of the attention output |

Probabilities are the same before and after, which is checked; activations are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.errors import UserError, nearest

STEPS = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
AS_PUBLISHED = ("center_writing_weights",)
"""What `sae` stands for: how sae-lens loads the model of `gpt2-small-res-jb` and its kind."""

PLACEMENT = ("device", "n_devices", "move_to_device", "device_map", "dtype", "torch_dtype", "trust_remote_code")
"""What metadata may ask for beside steps: where and in which precision weights lie, not what is computed."""
TEXT = ("default_prepend_bos", "default_padding_side", "first_n_layers")
"""How text is laid out, which the corpus says here, and layers that come after the dictionary."""


def processing_steps(processing: Any) -> tuple[str, ...]:
    """The steps that `raw`, `sae`, a comma-separated list of steps, or an SAE (by its metadata) asks for, in order.

    Raises:
        UserError: an unknown step, with the nearest; an object without metadata.
    """
    if not isinstance(processing, str):
        return steps_of_metadata(_metadata(processing))
    words = [word.strip() for word in processing.split(",") if word.strip()]
    if words in ([], ["raw"]):
        return ()
    if words == ["sae"]:
        return AS_PUBLISHED
    for word in words:
        if word not in STEPS:
            raise UserError(f"unknown weight processing {word!r}: {nearest(word, ['raw', 'sae', *STEPS])}")
    return tuple(step for step in STEPS if step in words)


def steps_of_metadata(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The steps that an SAE's `model_from_pretrained_kwargs` sets.

    Raises:
        UserError: it sets something else that changes what the model computes, a revision or a checkpoint say.
    """
    asked = metadata.get("model_from_pretrained_kwargs") or {}
    other = [name for name, value in asked.items() if value and name not in (*STEPS, *PLACEMENT, *TEXT)]
    if other:
        name = other[0]
        raise UserError(
            f"expected model_from_pretrained_kwargs of {', '.join(STEPS)}; the dictionary's metadata sets "
            f"{name}={asked[name]!r}; load the model accordingly and take {name} out of the metadata, or use another"
        )
    return tuple(step for step in STEPS if asked.get(step))


def _metadata(sae: Any) -> Mapping[str, Any]:
    if isinstance(getattr(sae, "metadata", None), Mapping):  # a dictionary of ours
        return sae.metadata
    found = getattr(getattr(sae, "cfg", None), "metadata", None)
    if found is None:
        raise UserError(
            f"expected processing='raw', 'sae', steps such as 'fold_ln,center_unembed' or an SAE; got "
            f"{type(sae).__name__}; pass one of these"
        )
    return found.to_dict()
