"""Clusters of codes and of activations, with types: cards, purity by label, the codes themselves.

Axis glossary: ``item`` sampled tokens, ``cluster``, ``bit`` of the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from eval.result_json import noted
from eval.results import Result, result
from llm_codes.lenses.polytopes.meaning import Meaning


@result
class LabelTest(Result):
    """Is a cluster purer in one kind of label than chance? Entropy against a shuffled null, q Benjamini-Hochberg."""

    entropy_bits: float | None
    null_bits: float | None
    reduction: float | None
    purity: float | None
    q: float | None
    monosemantic: bool


@result
class TokenCount(Result):
    token: str
    n: int


@result
class Exemplar(Result):
    """A token of a cluster, with what stands before it."""

    before: str
    token: str
    document: int


@result
class DiscriminatingBit(Result):
    """A hidden unit whose bit sets a cluster apart: share of items with it on, inside and outside."""

    layer: str
    unit: Any
    share_inside: float
    share_outside: float


@result
class ClusterCard(Result):
    """One cluster: its tokens, exemplars, purity by label, and, for codes, its spread and its bits."""

    cluster: int
    n: int
    stability: float
    tokens: tuple[TokenCount, ...]
    exemplars: tuple[Exemplar, ...]
    token: LabelTest
    next_token: LabelTest
    document: LabelTest
    spread_bits: float | None = noted(default=None, when_set=True)
    discriminating_bits: tuple[DiscriminatingBit, ...] | None = noted(default=None, when_set=True)

    @property
    def is_pure(self) -> bool:
        """Less mixed in token or next token than chance."""
        return self.token.monosemantic or self.next_token.monosemantic


@result
class ClusterSummary(Result):
    """The clusters of codes or of activations; `approximate`: never, the key is kept for older readers."""

    metric: str
    method: str
    approximate: bool
    n_items: int
    n_clusters: int
    noise_share: float
    min_cluster_size: int
    reason: str | None
    n_monosemantic: Mapping[str, int]
    n_monosemantic_token_or_next: int
    cards: tuple[ClusterCard, ...]


@result
class BothClusterings(Result):
    codes: ClusterSummary
    activations: ClusterSummary


@result
class CodeSummary(Result):
    """The codes themselves. near_zero: share of bits within rounding of their threshold."""

    n_items: int
    n_distinct: int
    map: Mapping[str, Any]
    near_zero: float


@result
class ClusterStage(Result):
    """An item of a run: both clusterings, the cluster of every item by codes, the codes' summary, and how
    much less mixed than random the tokens of a cluster are."""

    clusters: BothClusterings
    code_labels: Int[np.ndarray, " item"]
    code: CodeSummary
    meaning: tuple[Meaning, ...] = ()
