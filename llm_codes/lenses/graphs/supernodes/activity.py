"""What the features of a graph do on a text: activations token by token, and the contexts in which they fire together.

Axes: token, node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.saes.contexts import AFTER, BEFORE
from llm_codes.lenses.saes.rows import Context
from llm_codes.models import Model
from llm_codes.sites import resolve_site

NAMED_BY, WORDS = 12, 3  # contexts that give a name, and words of it


@dataclass(frozen=True)
class Activity:
    """values: of every node's feature. window, position: of every token in the corpus."""

    corpus: Corpus
    values: Float[np.ndarray, "token node"]
    window: Int[np.ndarray, " token"]
    position: Int[np.ndarray, " token"]

    @property
    def documents(self) -> Int[np.ndarray, " token"]:
        return self.corpus.document[self.window]

    def together(self, members: Sequence[int]) -> Float[np.ndarray, " token"]:
        """Mean over nodes of the activation as a share of its largest one; 0 where none fires."""
        own = self.values[:, members]
        largest = own.max(0)
        return (own / np.where(largest > 0, largest, 1)).mean(1)

    def strongest(self, members: Sequence[int], count: int) -> list[int]:
        """Tokens at which the nodes fire together most, at most one a window."""
        shares, out, seen = self.together(members), [], set()
        for token in np.argsort(-shares, kind="stable").tolist():
            if shares[token] <= 0 or len(out) == count:
                break
            if int(self.window[token]) not in seen:
                seen.add(int(self.window[token]))
                out.append(token)
        return out

    def name(self, model: Model, members: Sequence[int]) -> str:
        """The words at which the nodes fire together most; empty where they never do."""
        tokens = self.strongest(members, NAMED_BY)
        ids = [int(self.corpus.tokens[self.window[token], self.position[token]]) for token in tokens]
        words = Counter(text.strip() or repr(text)[1:-1] for text in model.token_strings(ids))
        return "/".join(word for word, _ in words.most_common(WORDS))

    def contexts(self, model: Model, members: Sequence[int], count: int = 3) -> tuple[Context, ...]:
        """The strongest of these places as texts."""
        shares, out = self.together(members), []
        for token in self.strongest(members, count):
            row, place = self.corpus.tokens[self.window[token]], int(self.position[token])
            start = max(1, place - BEFORE)
            texts = model.token_strings(row[start : place + AFTER + 1].tolist())
            out.append(Context(tuple(texts), place - start, round(float(shares[token]), 3)))
        return tuple(out)


@torch.no_grad()
def activity_of(
    model: Model,
    graph: AttributionGraph,
    transcoders: Sequence[LayerTranscoder],
    numbers: Sequence[int],
    corpus: Corpus,
    batch_size: int = 16,
) -> Activity:
    """Activations of some of a graph's features on the tokens of a text that count, the first of a window left out."""
    layers = graph.features[list(numbers), 0].tolist()
    columns = {layer: [n for n, own in enumerate(layers) if own == layer] for layer in sorted(set(layers))}
    sites = {layer: resolve_site(model, "mlp_in", layer).hook for layer in columns}
    counted = np.array(corpus.mask)
    counted[:, 0] = False
    values = np.zeros((*counted.shape, len(numbers)), dtype=np.float32)
    for start in range(0, len(corpus), batch_size):
        tokens = torch.tensor(np.asarray(corpus.tokens[start : start + batch_size]), dtype=torch.long)
        seen = model.activations(tokens, list(sites.values()))
        for layer, own in columns.items():
            features = graph.features[[numbers[n] for n in own], 2]
            active = transcoders[layer].active(seen[sites[layer]].flatten(0, 1))[:, features]
            values[start : start + len(tokens), :, own] = active.view(*tokens.shape, -1).float().cpu().numpy()
    window, position = counted.nonzero()
    return Activity(corpus, values[window, position], window, position)
