"""A hooked model as explainer and simulator: cached prefixes, slots with branches in one pass, greedy replies.

Torch side of `eval.explanation.local_simulator`. The model is called through its `transformers` interface (4-D
attention mask, position ids, key-value cache), so any model this suite loads can serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.explanation.explainers import Reply
from eval.explanation.prompts import Message
from llm_codes.models import Model

KEPT_PREFIXES = 4
TOP = 20


class LocalLanguageModel:
    """A `SlotModel` and a `Chat` in one. `passes` counts forward passes."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name = f"local:{model.name}"
        self.passes = 0
        self._network = getattr(model.bridge, "original_model", None)
        if self._network is None:
            raise UserError(f"expected a TransformerBridge to generate with, {model.name} is none; load it by name")
        self._prefixes: dict[tuple[int, ...], Any] = {}
        self._encode = lru_cache(maxsize=100_000)(lambda text: tuple(model.encode(text)))

    def encode(self, text: str) -> list[int]:
        """Ids of a text, no special tokens; remembered, since the same words come back in every window."""
        return list(self._encode(text))

    @property
    def identity(self) -> Mapping[str, str | bool]:
        """What decides this model's answers (for the journal)."""
        return {"model": self.model.source, "dtype": str(self.model.dtype), "untrained": self.model.untrained}

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation with an open assistant turn: the tokenizer's chat template, else plain paragraphs."""
        tokenizer = self.model.tokenizer
        if getattr(tokenizer, "chat_template", None):
            return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return "\n\n".join(message["content"] for message in messages) + "\n\n"

    @torch.no_grad()
    def _forward(self, tokens: Tensor, cache: Any, **extra: Any) -> Tensor:
        """Logits [position, vocabulary] of one sequence; the cache grows by its length."""
        self.passes += 1
        assert self._network is not None
        return self._network(input_ids=tokens[None], past_key_values=cache, use_cache=True, **extra).logits[0]

    def _cache(self, prefix: tuple[int, ...]) -> Any:
        """The key-value cache of a prefix; computed once, the last few are kept."""
        from transformers import DynamicCache

        if prefix not in self._prefixes:
            if len(self._prefixes) >= KEPT_PREFIXES:
                self._prefixes.pop(next(iter(self._prefixes)))
            assert self._network is not None
            cache = DynamicCache(config=self._network.config)
            self._forward(self._tensor(prefix), cache, **self._last_only(1))
            self._prefixes[prefix] = cache
        return self._prefixes[prefix]

    def _last_only(self, positions: Any) -> dict[str, Any]:
        """`logits_to_keep`, where the network knows it: unembedding a whole prompt costs more than a small model."""
        import inspect

        assert self._network is not None
        known = "logits_to_keep" in inspect.signature(self._network.forward).parameters
        return {"logits_to_keep": positions} if known else {}

    def _tensor(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor(list(tokens), dtype=torch.long, device=self.model.device)

    def _check_length(self, length: int) -> None:
        if length > self.model.context:
            raise UserError(
                f"the prompt takes {length} tokens, {self.name} reads at most {self.model.context}; "
                "use a model with a longer context, or a shorter --window"
            )

    @torch.no_grad()
    def slot_logprobs(
        self, prefix: Sequence[int], suffix: Sequence[int], slots: Sequence[int], branches: Sequence[int]
    ) -> tuple[Float[np.ndarray, "slot vocabulary"], Float[np.ndarray, "branch slot vocabulary"]]:
        """Log-probabilities after each slot, and after slot + branch token, in one forward pass over the suffix.

        The branch tokens stand behind the suffix in the sequence, at the position after their slot; the mask lets each
        see the prefix, the suffix up to its slot, and itself.
        """
        n_prefix, n_suffix, n_slots = len(prefix), len(suffix), len(slots)
        n_new = n_suffix + n_slots * len(branches)
        self._check_length(n_prefix + n_suffix + 1)
        cache = self._cache(tuple(prefix))
        places = torch.as_tensor(list(slots))
        extra = torch.as_tensor([token for token in branches for _ in slots], dtype=torch.long)
        tokens = torch.cat([self._tensor(suffix), extra.to(self.model.device)])
        positions = n_prefix + torch.cat([torch.arange(n_suffix), (places + 1).repeat(len(branches))])
        sees = torch.zeros(n_new, n_prefix + n_new, dtype=torch.bool)
        sees[:, :n_prefix] = True
        sees[:n_suffix, n_prefix : n_prefix + n_suffix] = torch.ones(n_suffix, n_suffix).tril().bool()
        for branch in range(len(branches)):
            rows = n_suffix + branch * n_slots + torch.arange(n_slots)
            sees[rows, n_prefix : n_prefix + n_suffix] = torch.arange(n_suffix)[None] <= places[:, None]
            sees[rows, n_prefix + rows] = True
        mask = torch.zeros(sees.shape, dtype=self.model.dtype).masked_fill_(~sees, torch.finfo(self.model.dtype).min)
        wanted = torch.cat([places, n_suffix + torch.arange(n_slots * len(branches))]).to(self.model.device)
        keep = self._last_only(wanted)
        try:
            logits = self._forward(
                tokens,
                cache,
                attention_mask=mask[None, None].to(self.model.device),
                position_ids=positions[None].to(self.model.device),
                **keep,
            )
        finally:
            grown = cache.get_seq_length() - n_prefix
            if grown:
                cache.crop(-grown)
        rows = logits if keep and len(logits) == len(wanted) else logits[wanted]
        found = rows.float().log_softmax(-1).cpu().numpy()
        return found[:n_slots], found[n_slots:].reshape(len(branches), n_slots, found.shape[-1])

    @torch.no_grad()
    def text_logprobs(self, heads: Sequence[str], texts: Sequence[str]) -> Float[np.ndarray, " text"]:
        """The mean log-probability, in nats, of each text's tokens from the second one on, after its head."""
        return np.array([self._text_logprob(head, text) for head, text in zip(heads, texts, strict=True)])

    def _text_logprob(self, head: str, text: str) -> float:
        start = [] if self.model.bos_token_id is None else [self.model.bos_token_id]
        prefix, tokens = (*start, *self.encode(head)), self._tensor(self.encode(text))
        self._check_length(len(prefix) + len(tokens))
        cache = self._cache(prefix)
        try:
            logits = self._forward(tokens, cache)
        finally:
            grown = cache.get_seq_length() - len(prefix)
            if grown:
                cache.crop(-grown)
        told = logits[:-1].float().log_softmax(-1).gather(1, tokens[1:, None])
        return float(told.mean())

    def ask(self, conversations: Sequence[list[Message]], *, maximum_tokens: int) -> list[Reply]:
        """Greedy replies, up to the end of the first line, with the first token's log-probabilities."""
        return [self._reply(conversation, maximum_tokens) for conversation in conversations]

    @torch.no_grad()
    def _reply(self, conversation: list[Message], maximum_tokens: int) -> Reply:
        mark = "\u241f"
        head, _, tail = self.render([*conversation[:-1], {**conversation[-1], "content": mark}]).partition(mark)
        prefix = tuple(self.encode(head))
        tokens = list(self.encode(conversation[-1]["content"] + tail))
        self._check_length(len(prefix) + len(tokens) + maximum_tokens)
        cache = self._cache(prefix)
        written: list[int] = []
        first: dict[str, float] = {}
        try:
            for _ in range(maximum_tokens):
                logits = self._forward(self._tensor(tokens), cache, **self._last_only(1))[-1].float()
                if not written:
                    best = logits.log_softmax(-1).topk(min(TOP, len(logits)))
                    words = self.model.token_strings(best.indices.tolist())
                    first = dict(zip(words, best.values.tolist(), strict=True))
                token = int(logits.argmax())
                if token in self._stops():
                    break
                written.append(token)
                if "\n" in self.model.tokenizer.decode(written).lstrip("\n"):
                    break
                tokens = [token]
        finally:
            grown = cache.get_seq_length() - len(prefix)
            if grown:
                cache.crop(-grown)
        text = self.model.tokenizer.decode(written) if written else ""
        return Reply(text.strip(), None, ((text, first),))

    def _stops(self) -> set[int]:
        tokenizer = self.model.tokenizer
        found = {getattr(tokenizer, "eos_token_id", None), getattr(tokenizer, "bos_token_id", None)}
        end = tokenizer.convert_tokens_to_ids("<|im_end|>") if hasattr(tokenizer, "convert_tokens_to_ids") else None
        return {int(token) for token in (*found, end) if isinstance(token, int)}
