"""Does a dictionary belong to this model, and two dictionaries to each other? Hashes of weights and vocabulary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from eval.errors import UserError
from eval.progress import say
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.sites import resolve_site
from llm_codes.weight_processing import steps_of_metadata


class Placed(Protocol):
    """A dictionary with what is known about it: an `SAEFolder`, or one layer of a cross-layer transcoder."""

    @property
    def name(self) -> str: ...
    @property
    def hook(self) -> str: ...
    @property
    def hook_out(self) -> str: ...
    @property
    def d_in(self) -> int: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


Own = TypeVar("Own", bound=Placed)


def check_fits(sae: Own, model: Any) -> Own:
    """The dictionary, if it belongs to this model: hook, width, weight processing, tokenizer, weights.

    What is returned names its hooks as the model does (`blocks.3.hook_mlp_out` becomes `blocks.3.mlp.hook_out`).
    Weights are compared by hash where the dictionary has one (ours do); a published one that only names another model
    is used with a warning on stderr.

    Raises:
        UserError: any of those differs.
    """
    expected = steps_of_metadata(sae.metadata)
    if expected != model.processing:
        raise UserError(
            f"expected weights processed as SAE {sae.name} was trained on, {','.join(expected) or 'raw'}; {model.name} "
            f"has {','.join(model.processing) or 'raw'}; load it with processing={','.join(expected) or 'raw'}"
        )
    if not sae.hook:
        raise UserError(f"expected a hook name in the metadata of {sae.name}; got none; add metadata.hook_name")
    model.check_hooks([sae.hook, sae.hook_out])
    _check_model(sae, model)
    check_width(sae, sae.hook, site_width(model, sae.hook))
    own = {"hook": resolve_site(model, sae.hook).hook, "hook_out": resolve_site(model, sae.hook_out).hook}
    return sae if (sae.hook, sae.hook_out) == tuple(own.values()) else replace(sae, **own)  # type: ignore[type-var]


def _check_model(sae: Placed, model: Any) -> None:
    """Tokenizer and weights are those it was trained with; a published one that names another model is warned of."""
    trained_on = str(sae.metadata.get("model_name") or "")
    mine = tokenizer_hash(model.tokenizer)
    theirs = sae.metadata.get("tokenizer_hash")
    if theirs and theirs != mine:
        raise UserError(
            f"SAE {sae.name} was trained with another tokenizer (model {trained_on!r}), got {model.name!r}; "
            "use the model it was trained on"
        )
    stored = sae.metadata.get("model_hash")
    if stored and stored not in _possible_hashes(model):
        raise UserError(
            f"SAE {sae.name} was trained on other weights (model {trained_on!r}, hash {stored}); got {model.name!r} "
            f"(hash {model_hash(model)}); use the model it was trained on, or train an SAE on this one"
        )
    if trained_on and not stored and _plain(trained_on) != _plain(model.name):
        say(
            f"warning: SAE {sae.name} names the model {trained_on!r}; it is used on {model.name!r}: "
            "check that they are the same"
        )


def _plain(name: str) -> str:
    """A model's name without its organisation or folder, in small letters: `openai-community/GPT2` is `gpt2`."""
    return name.rstrip("/").rsplit("/", 1)[-1].lower()


def check_width(sae: Placed, hook: str, width: int) -> None:
    """The site is as wide as the dictionary reads."""
    if sae.d_in != width:
        raise UserError(
            f"sae.d_in={sae.d_in} but activations at {hook} are {width} wide; was this SAE trained on another model?"
        )


def site_width(model: Any, hook: str) -> int:

    return resolve_site(model, hook).width


def check_pair(first: SAEFolder, second: SAEFolder) -> None:
    """Two dictionaries of one model.

    Raises:
        UserError: they name different models or tokenizers, or one normalises each activation (what its features write
            is then not in the model's units, and neither an edge nor an intervention has a size).
    """
    for side in (first, second):
        if side.normalises:
            raise UserError(
                f"expected dictionaries whose features write in the model's units; {side.name} has "
                f"normalize_activations={side.normalises!r}; only `sae eval` reads it; train one "
                "with `sae train`"
            )
    for key, what in (("model_name", "models"), ("tokenizer_hash", "tokenizers"), ("model_hash", "weights")):
        a, b = first.metadata.get(key), second.metadata.get(key)
        if a and b and a != b:
            raise UserError(
                f"expected two dictionaries of one model; got different {what}: {first.name} has {a!r}, "
                f"{second.name} has {b!r}; train both on the same model"
            )


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """What a dictionary or a connector holds: name, shape and bytes of every tensor; the folder's name is no part."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.view(torch.uint8).numpy().tobytes() if value.ndim else value.numpy().tobytes())
    return digest.hexdigest()


def tokenizer_hash(tokenizer: Any) -> str:
    """A short hash of the vocabulary."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()[:16]


def model_hash(model: Any) -> str:
    """A short hash of one weight matrix: tells retrained weights of the same name apart."""
    return _hash(_weight_sample(model))


def _possible_hashes(model: Any) -> Container[str]:
    """What these weights hash to in each precision of training; weights in half precision, or processed, cannot be
    compared."""
    if model.dtype not in (torch.float32, torch.float64) or model.processing:
        return _Anything()
    sample = _weight_sample(model)
    return {_hash(sample), *(_hash(sample.to(dtype).float()) for dtype in (torch.bfloat16, torch.float16))}


class _Anything:
    """Contains everything: weights that were rounded or processed cannot be compared with what they were."""

    def __contains__(self, item: object) -> bool:
        return True


def _weight_sample(model: Any) -> Tensor:
    largest = max(model.bridge.parameters(), key=lambda p: p.numel())
    return largest.detach().flatten()[:4096].float().cpu()


def _hash(sample: Tensor) -> str:
    return hashlib.sha256(sample.numpy().tobytes()).hexdigest()[:16]


def provenance_of(model: Any) -> dict[str, Any]:
    """What the metadata of a dictionary says about its model."""
    processed = {"model_from_pretrained_kwargs": dict.fromkeys(model.processing, True)} if model.processing else {}
    fresh = {"untrained_seed": model.seed} if model.untrained else {}
    return (
        processed
        | fresh
        | {
            "model_name": model.name,
            "tokenizer_hash": tokenizer_hash(model.tokenizer),
            "model_hash": model_hash(model),
            "context_size": model.context,
            "prepend_bos": True,
        }
    )
