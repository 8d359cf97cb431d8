"""A hooked model as explainer and simulator: cached prefixes, slots with branches in one pass, greedy replies.

Torch side of `eval.explanation.local_simulator`. The model is called through its `transformers` interface (4-D
attention mask, position ids, key-value cache), so any model this suite loads can serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.errors import UserError
from eval.explanation.explainers import Reply
from eval.explanation.local_simulator import SlotPrompt
from eval.explanation.prompts import Message
from llm_codes.lenses.explain.packed_rows import PackedRows, packed_slots, packed_texts
from llm_codes.models import Model

KEPT_PREFIXES = 4
TOP = 20
Asked = TypeVar("Asked")


class LocalLanguageModel:
    """A `SlotModel` and a `Chat` in one. `passes` counts forward passes.

    batch: windows or conversations of one forward pass, at most.
    """

    def __init__(self, model: Model, batch: int = 8) -> None:
        self.model, self.batch = model, batch
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
        """Logits [row, column, vocabulary]; the cache grows by the columns."""
        self.passes += 1
        assert self._network is not None
        return self._network(input_ids=tokens, past_key_values=cache, use_cache=True, **extra).logits

    def _cache(self, prefix: tuple[int, ...]) -> Any:
        """The key-value cache of a prefix; computed once, the last few are kept."""
        from transformers import DynamicCache

        if prefix not in self._prefixes:
            if len(self._prefixes) >= KEPT_PREFIXES:
                self._prefixes.pop(next(iter(self._prefixes)))
            assert self._network is not None
            cache = DynamicCache(config=self._network.config)
            self._forward(self._tensor(prefix)[None], cache, **self._last_only(1))
            self._prefixes[prefix] = cache
        return self._prefixes[prefix]

    def _read(self, prefix: tuple[int, ...], rows: PackedRows, columns: int) -> tuple[Tensor, Any]:
        """(logits of the last columns [row, column, vocabulary], the cache of prefix and rows)."""
        cache = deepcopy(self._cache(prefix))
        if len(rows.tokens) > 1:
            cache.batch_repeat_interleave(len(rows.tokens))
        tokens, positions = (torch.as_tensor(one, device=self.model.device) for one in (rows.tokens, rows.positions))
        how = {"attention_mask": self._mask(torch.as_tensor(rows.sees)), "position_ids": positions}
        return self._forward(tokens, cache, **how, **self._last_only(columns))[:, -columns:], cache

    def _mask(self, sees: Bool[Tensor, "row column seen"]) -> Tensor:
        """What a token does not see, as the network takes it: added to its attention."""
        lowest = torch.finfo(self.model.dtype).min
        return (
            torch.zeros(sees.shape, dtype=self.model.dtype).masked_fill_(~sees, lowest)[:, None].to(self.model.device)
        )

    def _last_only(self, columns: int) -> dict[str, Any]:
        """`logits_to_keep`, where the network knows it: unembedding a whole prompt costs more than a small model."""
        import inspect

        assert self._network is not None
        known = "logits_to_keep" in inspect.signature(self._network.forward).parameters
        return {"logits_to_keep": columns} if known else {}

    def _tensor(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor(list(tokens), dtype=torch.long, device=self.model.device)

    def _check_length(self, length: int) -> None:
        if length > self.model.context:
            raise UserError(
                f"the prompt takes {length} tokens, {self.name} reads at most {self.model.context}; "
                "use a model with a longer context, or a shorter --window"
            )

    def slot_logprobs(
        self, prompts: Sequence[SlotPrompt], branches: Sequence[int]
    ) -> Iterator[tuple[Float[np.ndarray, "slot vocabulary"], Float[np.ndarray, "branch slot vocabulary"]]]:
        """(log-probabilities at the slots, and after each branch token) of every prompt, in one pass for each batch."""
        for prefix, some in _neighbours([(prompt.prefix, prompt) for prompt in prompts], self.batch):
            self._check_length(len(prefix) + max(len(prompt.suffix) for prompt in some) + 1)
            width = max(len(prompt.slots) for prompt in some)
            rows = packed_slots(len(prefix), some, branches)
            logits, _ = self._read(prefix, rows, width * (1 + len(branches)))
            for prompt, row in zip(some, logits, strict=True):
                blocks = row.unflatten(0, (1 + len(branches), width))[:, width - len(prompt.slots) :]
                found = blocks.float().log_softmax(-1).cpu().numpy()
                yield found[0], found[1:]

    def text_logprobs(self, heads: Sequence[str], texts: Sequence[str]) -> Float[np.ndarray, " text"]:
        """The mean log-probability, in nats, of each text's tokens from the second one on, after its head."""
        start = [] if self.model.bos_token_id is None else [self.model.bos_token_id]
        asked = [((*start, *self.encode(h)), self.encode(text)) for h, text in zip(heads, texts, strict=True)]
        groups = _neighbours(asked, self.batch)
        return np.array([value for prefix, some in groups for value in self._mean_logprobs(prefix, some)])

    def _mean_logprobs(self, prefix: tuple[int, ...], texts: Sequence[list[int]]) -> list[float]:
        longest = max(map(len, texts))
        self._check_length(len(prefix) + longest)
        logits, _ = self._read(prefix, packed_texts(len(prefix), texts), longest)
        out = []
        for text, row in zip(texts, logits, strict=True):
            logprobs = row[longest - len(text) : -1].float().log_softmax(-1)
            out.append(float(logprobs.gather(1, self._tensor(text[1:])[:, None]).mean()))
        return out

    def ask(self, conversations: Sequence[list[Message]], *, maximum_tokens: int) -> list[Reply]:
        """Greedy replies, up to the end of the first line, with the first token's log-probabilities."""
        asked = [self._prompt(conversation) for conversation in conversations]
        groups = _neighbours(asked, self.batch)
        return [one for prefix, some in groups for one in self._replies(prefix, some, maximum_tokens)]

    def _prompt(self, conversation: list[Message]) -> tuple[tuple[int, ...], list[int]]:
        """(what conversations of one kind have in common, the rest) as ids."""
        mark = "\u241f"
        head, _, tail = self.render([*conversation[:-1], {**conversation[-1], "content": mark}]).partition(mark)
        return tuple(self.encode(head)), self.encode(conversation[-1]["content"] + tail)

    def _replies(self, prefix: tuple[int, ...], asked: Sequence[list[int]], maximum_tokens: int) -> list[Reply]:
        self._check_length(len(prefix) + max(map(len, asked)) + maximum_tokens)
        rows = packed_texts(len(prefix), asked)
        logits, cache = self._read(prefix, rows, 1)
        best = logits[:, -1].float().log_softmax(-1).topk(min(TOP, logits.shape[-1]))
        writers = [_Writer(self.model.tokenizer, self._stops()) for _ in asked]
        sees = torch.as_tensor(rows.sees[:, -1:])
        positions = torch.as_tensor(rows.positions[:, -1:], device=self.model.device)
        for step in range(1, maximum_tokens + 1):
            tokens = logits[:, -1].float().argmax(-1)
            for writer, token in zip(writers, tokens.tolist(), strict=True):
                writer.write(token)
            if step == maximum_tokens or all(writer.ended for writer in writers):
                break
            sees = torch.cat([sees, torch.ones_like(sees[:, :, :1])], -1)
            how = {"attention_mask": self._mask(sees), "position_ids": positions + step}
            logits = self._forward(tokens[:, None], cache, **how, **self._last_only(1))
        out = []
        for writer, values, words in zip(writers, best.values.tolist(), best.indices.tolist(), strict=True):
            first = dict(zip(self.model.token_strings(words), values, strict=True))
            out.append(Reply(writer.text.strip(), None, ((writer.text, first),)))
        return out

    def _stops(self) -> set[int]:
        tokenizer = self.model.tokenizer
        found = {getattr(tokenizer, "eos_token_id", None), getattr(tokenizer, "bos_token_id", None)}
        end = tokenizer.convert_tokens_to_ids("<|im_end|>") if hasattr(tokenizer, "convert_tokens_to_ids") else None
        return {int(token) for token in (*found, end) if isinstance(token, int)}


def _neighbours(
    asked: Sequence[tuple[tuple[int, ...], Asked]], most: int
) -> Iterator[tuple[tuple[int, ...], list[Asked]]]:
    """(prefix, what follows it), in order: neighbours with one prefix together, at most so many."""
    for prefix, group in groupby(asked, key=lambda one: one[0]):
        rest = [one for _, one in group]
        for first in range(0, len(rest), most):
            yield prefix, rest[first : first + most]


class _Writer:
    """One greedy reply as it grows; it ends with a stop token, or with its first line."""

    def __init__(self, tokenizer: Any, stops: set[int]) -> None:
        self._tokenizer, self._stops = tokenizer, stops
        self._written: list[int] = []
        self.ended = False

    def write(self, token: int) -> None:
        """Take the next token, unless the reply has ended."""
        self.ended = self.ended or token in self._stops
        if not self.ended:
            self._written.append(token)
            self.ended = "\n" in self.text.lstrip("\n")

    @property
    def text(self) -> str:
        return self._tokenizer.decode(self._written) if self._written else ""
