"""What a model says next, and what it says when a direction is added to its stream.

    with model.steered(site="mlp_out", layer=3, add=4.0 * direction):
        model.continuation("The state of the", 20, seed=0)
        model.next_token("The state of the").top(5)

An intervention by addition tests whether a direction is used as its reading suggests; far outside the sizes that the
model meets itself it shows only what a broken stream does. Axes: position, width, token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.hooked import Hook, HookedModel
from llm_codes.sites import resolve_site


class TokenProbability(NamedTuple):
    """A token as the text it stands for, and its probability."""

    token: str
    probability: float


@dataclass(frozen=True, eq=False)
class NextToken:
    """The distribution over the token that follows a text. probabilities: [token]; they sum to 1."""

    probabilities: Float[Tensor, " token"]
    model: HookedModel

    def top(self, n: int = 10) -> tuple[TokenProbability, ...]:
        """The n likeliest tokens, the likeliest first."""
        if not 1 <= n <= len(self.probabilities):
            raise UserError(f"expected 1 to {len(self.probabilities)} tokens; got {n}; mend top(n)")
        values, tokens = self.probabilities.topk(n)
        words = self.model.token_strings(tokens.tolist())
        return tuple(TokenProbability(word, round(float(v), 6)) for word, v in zip(words, values, strict=True))


def _choice(probabilities: Float[Tensor, " token"], generator: torch.Generator, temperature: float) -> int:
    if temperature == 0:
        return int(probabilities.argmax())
    scaled = (probabilities.log() / temperature).softmax(-1)
    return int(torch.multinomial(scaled, 1, generator=generator))


@dataclass(eq=False, repr=False)
class Model(HookedModel):
    """A hooked language model that can be asked for text and steered; see `HookedModel` for the rest."""

    _steering: list[Hook] = field(default_factory=list, init=False)

    @contextmanager
    def steered(self, *, site: str, layer: int | None = None, add: Any) -> Iterator[None]:
        """While the block runs, `add` is added at every position of a site, in whatever the model computes.

        add: [width] (or one that spreads over [batch, position, width]), in the units of the activations there. Blocks
        may be nested: what they add is added up. Readers at the site itself see the sum.

        Raises:
            UserError: an unknown site; a direction of another width, or one that is not finite.
        """
        place = resolve_site(self, site, layer)
        direction = torch.as_tensor(add, dtype=self.dtype, device=self.device)
        if direction.ndim == 0 or direction.ndim > 3 or direction.shape[-1] != place.width:
            raise UserError(
                f"expected a direction of width {place.width}, as {place.name} of {self.name}; got shape "
                f"{list(direction.shape)}; take one of that site"
            )
        if not bool(direction.isfinite().all()):
            raise UserError("expected a finite direction; got NaN or infinity; check what is added")
        hook: Hook = (place.hook, lambda activation, hook: activation + direction)
        self._steering.append(hook)
        try:
            yield
        finally:
            self._steering.remove(hook)

    def _forward(self, tokens: Tensor, fwd_hooks: list[Hook]) -> Any:
        return super()._forward(tokens, [*self._steering, *fwd_hooks])

    @torch.no_grad()
    def next_token(self, text: str) -> NextToken:
        """The distribution over the next token after a text (which starts with BOS where the model has one)."""
        return NextToken(self._next([self._tokens(text)])[0], self)

    @torch.no_grad()
    def continuation(self, text: str, n: int, *, seed: int = 0, temperature: float = 1.0) -> str:
        """`n` tokens that the model says after a text, drawn from its distribution under a seed.

        temperature: 0 takes the likeliest token every time. A text longer than the context is read by its end. An
        end-of-text token ends the continuation early.

        Raises:
            UserError: fewer than one token, a negative temperature, a text without tokens.
        """
        return self.continuations([text], n, seeds=[seed], temperature=temperature)[0]

    @torch.no_grad()
    def continuations(
        self, texts: Sequence[str], n: int, *, seeds: Sequence[int], temperature: float = 1.0
    ) -> list[str]:
        """`continuation` of several texts, each under its own seed; those of as many tokens are read together.

        Raises:
            UserError: as `continuation`; another number of seeds than of texts.
        """
        if n < 1 or temperature < 0:
            raise UserError(f"expected n of at least 1 and a temperature of at least 0; got {n} and {temperature}")
        if len(seeds) != len(texts):
            raise UserError(f"expected a seed for each of {len(texts)} texts; got {len(seeds)}")
        read = [self._tokens(text) for text in texts]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        said: list[str] = [""] * len(texts)
        for length in sorted({len(tokens) for tokens in read}):
            places = [place for place, tokens in enumerate(read) if len(tokens) == length]
            drawn = self._drawn([read[place] for place in places], n, [generators[p] for p in places], temperature)
            for place, tokens in zip(places, drawn, strict=True):
                said[place] = str(self.tokenizer.decode(tokens))
        return said

    def _drawn(
        self, read: list[list[int]], n: int, generators: list[torch.Generator], temperature: float
    ) -> list[list[int]]:
        """The new tokens of texts of one length; a text that ended is read no further."""
        end = getattr(self.tokenizer, "eos_token_id", None)
        new: list[list[int]] = [[] for _ in read]
        going = list(range(len(read)))
        for _ in range(n):
            rows = self._next([read[place] + new[place] for place in going])
            chosen = {p: _choice(row, generators[p], temperature) for p, row in zip(going, rows, strict=True)}
            going = [place for place in going if chosen[place] != end]
            for place in going:
                new[place].append(chosen[place])
            if not going:
                break
        return new

    def _tokens(self, text: str) -> list[int]:
        bos = [] if self.bos_token_id is None else [self.bos_token_id]
        tokens = [*bos, *self.encode(text)]
        if not tokens:
            raise UserError("expected a text of at least one token; got none; this model has no BOS to start from")
        return tokens

    def _next(self, rows: list[list[int]]) -> Float[Tensor, "text token"]:
        read = torch.tensor([tokens[-self.context :] for tokens in rows])
        return self.logits(read)[:, -1].float().softmax(-1).cpu()
