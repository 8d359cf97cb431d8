"""A hooked language model as the suite sees it: activations, logits, losses, tokens, provenance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError, nearest
from llm_codes.attached import Hook, attached, in_evaluation
from llm_codes.content_hashes import parameters_sha256, tokenizer_sha256, weights_state
from llm_codes.inside.scans import stepwise
from llm_codes.inside.views import Text, base_of, viewed

ACTIVATION_KEYS = ("hidden_activation", "hidden_act", "activation_function", "activation", "mlp_hidden_act")
UNNAMED_ACTIVATIONS = {"bloom": "gelu_pytorch_tanh", "mpt": "gelu"}  # their configurations do not say


class _EnoughError(Exception):
    """Raised inside a forward pass once every wanted activation has been seen."""


@dataclass(eq=False, repr=False)
class HookedModel:
    """A hooked language model: what the suite needs of it and nothing more.

    bridge: the TransformerBridge (or HookedTransformer) itself, for scripts that want everything.
    name: what the user asked for; source: where the weights came from. logits_error: the relative error of its logits
    beside those of transformers on a probe text, where it was hooked here.
    processing: what was done to the weights (`llm_codes.weight_processing`).
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
    logits_error: float | None = None
    processing: tuple[str, ...] = ()
    _weights_hashed: tuple[Any, str] | None = field(default=None, init=False)

    def __repr__(self) -> str:
        return (
            f"Model {self.name} ({self.source}): {self.n_parameters:,} parameters, {self.n_layers} layers, width "
            f"{self.d_model}, MLP {self.d_mlp} ({self.activation}), context {self.context}, "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}"
        )

    @property
    def n_layers(self) -> int:
        return int(self.bridge.cfg.n_layers)

    @property
    def d_model(self) -> int:
        return int(self.bridge.cfg.d_model)

    @property
    def d_mlp(self) -> int:
        """Hidden units of an MLP (OPT's own `ffn_dim`, which its hooked configuration takes to be four widths)."""
        own = getattr(getattr(self.bridge, "original_model", None), "config", None)
        return int(getattr(own, "ffn_dim", None) or self.bridge.cfg.d_mlp or 4 * self.d_model)

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
    def activation(self) -> str:
        """The nonlinearity of the MLPs, e.g. `relu`, `gelu_new`, `silu`: as the model's own configuration names it."""
        own: Any = getattr(getattr(self.bridge, "original_model", None), "config", None)
        own = own.get_text_config() if hasattr(own, "get_text_config") else own
        named = (getattr(own, key, None) for key in ACTIVATION_KEYS)
        unnamed = UNNAMED_ACTIVATIONS.get(str(getattr(own, "model_type", "")))
        return str(next((name for name in named if isinstance(name, str)), unnamed or self.bridge.cfg.act_fn))

    @property
    def bos_token_id(self) -> int | None:
        """The token a window starts with: the tokenizer's BOS, else its EOS (as GPT-2 does), else `None`."""
        bos = getattr(self.tokenizer, "bos_token_id", None)
        return bos if bos is not None else getattr(self.tokenizer, "eos_token_id", None)

    @cached_property
    def hook_points(self) -> dict[str, Any]:
        """The hook point behind every name that this model answers to."""
        return dict(self.bridge.hook_dict)

    @cached_property
    def canonical_hooks(self) -> dict[str, str]:
        """Every hook name this model answers to, with the name of the hook point behind it.

        Two names are aliases where they reach the same hook point, never because they sound alike: `hook_mlp_out` is
        `mlp.hook_out` in GPT-2 and `ln2_post.hook_out` in Gemma 2.
        """
        points = self.hook_points
        return {name: point.name if point.name in points else name for name, point in points.items()}

    @cached_property
    def hook_names(self) -> frozenset[str]:
        """Every hook name this model answers to."""
        return frozenset(self.canonical_hooks)

    @property
    def weights_sha256(self) -> str:
        """The content of the weights: every parameter's name, kind, shape and bytes. Changed weights, another hash."""
        state = weights_state(self.bridge)
        if self._weights_hashed is None or self._weights_hashed[0] != state:
            self._weights_hashed = (state, parameters_sha256(self.bridge.named_parameters()))
        return self._weights_hashed[1]

    @cached_property
    def tokenizer_sha256(self) -> str | None:
        """The content of the tokenizer, less the truncation and padding of its last call; `None` without vocabulary."""
        return tokenizer_sha256(self.tokenizer)

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

    def stream_batch(self, batch: Any, hooks: Sequence[Any], receive: Callable[[str, Tensor], None]) -> None:
        """`stream` on the windows of a batch."""
        self.stream(batch.tokens, hooks, receive)

    def numbers_alive(self, windows: int, context: int) -> int:
        """Numbers that one block holds at once while it computes `windows` of `context` positions."""
        heads = int(getattr(self.bridge.cfg, "n_heads", 1))
        return numbers_of_block(windows, context, self.d_model, self.d_mlp, heads)

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
            if base_of(name) not in self.hook_names:
                raise UserError(f"{self.name} has no hook {name!r}: {nearest(name, self.hook_names)}")

    def _forward(self, tokens: Tensor, fwd_hooks: list[Hook]) -> Any:
        text = Text(tokens.shape[0], tokens.shape[1], self.context)
        hooks = [viewed(name, function, text) for name, function in fwd_hooks]
        taken, steps = (
            attached(self.bridge, self.hook_points, hooks),
            stepwise(self.bridge, [name for name, _ in hooks]),
        )
        try:
            with in_evaluation(self.bridge), taken, steps as how:
                return self.bridge(tokens, return_type="logits", **how)
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
            "activation_function": self.activation,
            "gated_mlp": self.is_gated,
            "weight_processing": ",".join(self.processing) or "none",
            "weights_sha256": self.weights_sha256,
            "tokenizer_sha256": self.tokenizer_sha256,
        }


def numbers_of_block(windows: int, context: int, d_model: int, d_mlp: int, n_heads: int) -> int:
    """Numbers that one block of a model of this shape holds at once."""
    return windows * context * (6 * d_model + 3 * d_mlp + 3 * n_heads * context)
