"""Which tokens are coded, and what is read at them.

Black et al. 2022 code 6 tokens of each 1024-token sequence, none of the first 100: here positions
`linspace(min(100, context // 4), context - 1, 6)` of each window.

Axis glossary: ``item`` sampled tokens, ``width`` of a site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.errors import UserError
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes
from eval.progress import say
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import Consumer, harvest
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site

PER_WINDOW = 6
CONTEXT_SHOWN = 12  # tokens before a sampled one in the texts of a cluster


def sample_positions(context: int) -> np.ndarray:
    """The sampled positions of a window; short windows get as many distinct ones as there are.

    Raises:
        UserError: windows of fewer than 8 tokens.
    """
    if context < 8:
        raise UserError(f"expected windows of at least 8 tokens; got {context}; raise --context")
    return np.unique(np.linspace(min(100, context // 4), context - 1, PER_WINDOW).round().astype(int))


@dataclass(frozen=True, eq=False)
class TokenSample:
    """Sampled tokens and the activations at them.

    token, next_token (-1 where the text ends), document, window, position: `[item]` integers.
    values: `[item, width]` float32 by hook name. text: what stands before each token, and the token, as strings.
    """

    token: np.ndarray
    next_token: np.ndarray
    document: np.ndarray
    window: np.ndarray
    position: np.ndarray
    values: dict[str, np.ndarray]
    before: list[str]
    string: list[str]

    def __len__(self) -> int:
        return len(self.token)


def chosen_tokens(keep: Bool[Tensor, "batch position"], positions: Int[Tensor, " chosen"]) -> Tensor:
    """Mask of the kept tokens at the given positions of every window, on the CPU."""
    chosen = torch.zeros_like(keep, dtype=torch.bool).cpu()
    chosen[:, positions[positions < keep.shape[1]]] = True
    return chosen & keep.cpu()


class SampleConsumer:
    """A `harvest` consumer that keeps activations at the sampled positions."""

    def __init__(self, sites: Sequence[Site], context: int, n_windows: int) -> None:
        self.sites = list(sites)
        self.positions = torch.as_tensor(sample_positions(context))
        self._n_items = len(self.positions) * n_windows
        self._parts: dict[str, list[np.ndarray]] = {site.hook: [] for site in self.sites}
        self._rows: list[np.ndarray] = []

    def memory_bytes(self) -> int:
        """Kept values, and as much again for what is computed from them."""
        return 2 * 4 * self._n_items * sum(site.width for site in self.sites)

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        chosen = chosen_tokens(keep, self.positions)
        rows, positions = torch.nonzero(chosen, as_tuple=True)
        self._rows.append(np.stack([batch.window[rows].numpy(), positions.numpy()], 1))
        for site in self.sites:
            self._parts[site.hook].append(activations[site.hook].cpu()[chosen].float().numpy())

    def sample(self, model: Model, corpus: Corpus) -> TokenSample:
        """What was kept, with the tokens around it."""
        window, position = np.concatenate(self._rows).T
        row_of = np.zeros(int(corpus.window.max()) + 1, dtype=np.int64)
        row_of[corpus.window] = np.arange(len(corpus))
        row = row_of[window]
        after = np.minimum(position + 1, corpus.context - 1)
        known = position + 1 < corpus.lengths[row]
        values = {hook: np.concatenate(parts) for hook, parts in self._parts.items()}
        before = [
            model.tokenizer.decode(corpus.tokens[r, max(1, p - CONTEXT_SHOWN) : p].tolist())
            for r, p in zip(row, position, strict=True)
        ]
        token = corpus.tokens[row, position].astype(np.int64)
        following = np.where(known, corpus.tokens[row, after], -1).astype(np.int64)
        strings = model.token_strings(token.tolist())
        return TokenSample(token, following, corpus.document[row], window, position, values, before, strings)


def collect(
    model: Model, corpus: Corpus, sites: Sequence[Site], *, beside: Sequence[Consumer] = (), **harvest_options: Any
) -> TokenSample:
    """Walk the corpus once and keep the sampled tokens; `beside`: other consumers of the same pass."""
    if corpus.context < 100:
        say(f"windows of {corpus.context} tokens: sampling from a quarter of the window on instead of token 100")
    consumer = SampleConsumer(sites, corpus.context, len(corpus))
    harvest(model, corpus, [consumer, *beside], label="codes", **harvest_options)
    return consumer.sample(model, corpus)


def code_map(model: Model, layers: Sequence[int]) -> CodeMap:
    """The map of the MLPs of `layers`; the codes partition what enters the first one's normalisation."""
    pre = [resolve_site(model, "mlp_pre", layer) for layer in layers]
    parts = tuple(CodePart(site.hook, model.activation, (site.width,)) for site in pre)
    name = f"{model.name} untrained" if model.untrained and "untrained" not in model.name else model.name
    return CodeMap(parts, resolve_site(model, "resid_mid", layers[0]).hook, name)


def hard_codes(model: Model, sample: TokenSample, layers: Sequence[int]) -> SplineCodes:
    """One bit per hidden unit of the MLPs of `layers` (gated MLPs: of the gate's pre-activation)."""
    mapping = code_map(model, layers)
    values = {part.layer: sample.values[part.layer] for part in mapping.parts}
    dtype = str(model.dtype).removeprefix("torch.")  # the values kept are float32, whatever they were computed in
    return SplineCodes.hard(mapping, values, source_dtype=dtype, provenance={"dtype": dtype})
