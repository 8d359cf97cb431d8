"""Sparse dictionaries on spline codes and on activations, and clusters as dictionaries, on the same held-out tokens.

The paper's own future work: an overcomplete sparse basis of codes. It wants more tokens than the six of each window, so
a second consumer of the same pass keeps codes and activations at many positions of every window; those of one half of
the documents train the TopK dictionaries. NMF and clusters are fitted on the sampled tokens of the same half; all are
scored on the sampled tokens of the other.

Axis glossary: ``item`` tokens, ``bit``, ``width`` of the hidden activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.measures.clustering.clusters import cluster_codes, cluster_points
from eval.measures.clustering.monosemanticity import monosemanticity
from eval.measures.codes.polytope import SplineCodes
from eval.measures.dictionaries.code_dictionary import (
    CodeDictionary,
    cluster_dictionary,
    factor_dictionary,
    topk_dictionary,
)
from eval.measures.dictionaries.directions import top_items
from llm_codes.corpus import Batch
from llm_codes.lenses.polytopes.rows import DictionaryRow, DictionaryStage
from llm_codes.lenses.polytopes.samples import TokenSample, chosen_tokens
from llm_codes.sites import Site

TOP_ITEMS = 20
ACTIVE = 32  # features of a TopK dictionary on at a token


class DictionaryRows:
    """A `harvest` consumer: codes (packed) and hidden activations (float16) at evenly spaced positions.

    pre, post: sites before and after the nonlinearity, one per layer. n_tokens: about how many to keep.
    """

    def __init__(self, pre: Sequence[Site], post: Sequence[Site], context: int, n_windows: int, n_tokens: int) -> None:
        self.sites = [*pre, *post]
        self._pre, self._post = list(pre), list(post)
        step = max(1.0, context * n_windows / max(1, n_tokens))
        self.positions = torch.as_tensor(np.unique(np.arange(1, context, step).astype(int)))
        self._n_items = len(self.positions) * n_windows
        self._bits: list[np.ndarray] = []
        self._hidden: list[np.ndarray] = []
        self._document: list[np.ndarray] = []

    def memory_bytes(self) -> int:
        """Two bytes for each activation, one for each bit once it is unpacked, and the pieces beside the whole."""
        return self._n_items * (4 * sum(s.width for s in self._post) + 2 * sum(s.width for s in self._pre))

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        chosen = chosen_tokens(keep, self.positions)
        rows = torch.nonzero(chosen, as_tuple=True)[0]
        self._document.append(batch.document[rows].numpy())
        bits = torch.cat([activations[site.hook].cpu()[chosen] > 0 for site in self._pre], dim=1)
        self._bits.append(np.packbits(bits.numpy(), axis=1))
        hidden = torch.cat([activations[site.hook].cpu()[chosen] for site in self._post], dim=1)
        self._hidden.append(hidden.half().numpy())

    def rows(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bits `[item, bit]` uint8 and activations `[item, width]` float16 of some documents."""
        mine = np.isin(np.concatenate(self._document), documents)
        count = sum(site.width for site in self._pre)
        return np.unpackbits(np.concatenate(self._bits)[mine], axis=1, count=count), np.concatenate(self._hidden)[mine]


def describe_dictionaries(
    sample: TokenSample, codes: SplineCodes, hidden: np.ndarray, more: DictionaryRows | None,
    options: dict[str, Any], n_features: int, steps: int, seed: int,
) -> DictionaryStage:  # fmt: skip
    """One row per dictionary: size, held-out reconstruction, features on at a token, and how many are monosemantic.

    more: many tokens for the TopK dictionaries (`None`, or `steps` 0: none are trained); options: of the clustering.
    """
    documents = np.random.default_rng(seed).permutation(np.unique(sample.document))
    half = documents[: len(documents) // 2]
    is_train = np.isin(sample.document, half)
    if not is_train.any() or is_train.all():
        reason = "a held-out half needs at least two documents"
        return DictionaryStage((DictionaryRow(basis="codes", reason=reason),))
    bits = codes.bits()
    train, other = (bits[is_train], hidden[is_train]), (bits[~is_train], hidden[~is_train])
    size = max(2, min(n_features, int(is_train.sum())))
    parts: list[CodeDictionary] = []
    names = ("codes", "activations")
    if more is not None and steps:
        for name, fitted, judged in zip(names, more.rows(half), other, strict=True):
            k = min(ACTIVE, 2 * fitted.shape[1])
            parts.append(topk_dictionary(fitted, judged, basis=name, k=k, steps=steps, seed=seed))
    for name, fitted, judged in zip(names, train, other, strict=True):
        parts.append(factor_dictionary(fitted, judged, n_features=size, basis=name, seed=seed))
    found = (cluster_codes(codes[is_train], **options).labels, cluster_points(hidden[is_train], **options).labels)
    for name, fitted, labels, judged in zip(names, train, found, other, strict=True):
        parts.append(cluster_dictionary(fitted, labels, judged, basis=f"clusters of {name}"))
    return DictionaryStage(tuple(_row(part, sample, ~is_train, seed) for part in parts))


def _row(part: CodeDictionary, sample: TokenSample, held_out: np.ndarray, seed: int) -> DictionaryRow:
    """The dictionary's scores, and the share of its features whose strongest held-out tokens (at least two) carry a
    token or next-token entropy significantly below chance."""
    top = top_items(part.features, TOP_ITEMS)
    found: dict[str, Any] = dict(part.summary())
    for name, labels in (("token", sample.token), ("next_token", sample.next_token)):
        test = monosemanticity(top, labels[held_out], seed=seed)
        known = int(np.isfinite(test.p).sum())
        found[f"{name}_monosemantic_share"] = float(test.monosemantic().sum() / known) if known else None
        found[f"{name}_judged"] = known
    return DictionaryRow(**found)
