"""Cluster cards: what a cluster of codes holds, in text and in bits.

Axis glossary: ``item`` sampled tokens, ``cluster``, ``bit`` of the code.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from eval.measures.clustering.clusters import Clusters
from eval.measures.clustering.monosemanticity import Monosemanticity, monosemanticity
from eval.measures.codes.polytope import SplineCodes
from llm_codes.lenses.polytopes.cluster_rows import (
    ClusterCard,
    ClusterSummary,
    DiscriminatingBit,
    Exemplar,
    LabelTest,
    TokenCount,
)
from llm_codes.lenses.polytopes.samples import TokenSample

EXEMPLARS = 6
SHOWN_BITS = 5


def label_families(sample: TokenSample) -> dict[str, np.ndarray]:
    """The labels by which a cluster may be pure."""
    return {"token": sample.token, "next_token": sample.next_token, "document": sample.document}


def cluster_cards(
    found: Clusters, sample: TokenSample, codes: SplineCodes | None, *, seed: int = 0
) -> tuple[list[ClusterCard], dict[str, Monosemanticity]]:
    """One card per cluster, largest first, and the monosemanticity of all of them by label family.

    codes: for spread and discriminating bits; `None` for clusters of activations.
    """
    members = [found.members(cluster) for cluster in range(found.n_clusters)]
    tests = {name: monosemanticity(members, labels, seed=seed) for name, labels in label_families(sample).items()}
    bits = codes.bits().astype(np.float32) if codes is not None else None
    cards = []
    for cluster, items in enumerate(members):
        spread, shown = None, None
        if codes is not None and bits is not None:
            spread, shown = _bits_of(codes, bits, items, found.labels == cluster)
        common = Counter(sample.string[i] for i in items).most_common(5)
        cards.append(
            ClusterCard(
                cluster=cluster,
                n=len(items),
                stability=float(found.stability[cluster]),
                tokens=tuple(TokenCount(token, count) for token, count in common),
                exemplars=tuple(
                    Exemplar(sample.before[i], sample.string[i], int(sample.document[i])) for i in items[:EXEMPLARS]
                ),
                token=_label_test(tests["token"], cluster),
                next_token=_label_test(tests["next_token"], cluster),
                document=_label_test(tests["document"], cluster),
                spread_bits=spread,
                discriminating_bits=shown,
            )
        )
    return cards, tests


def _label_test(test: Monosemanticity, cluster: int) -> LabelTest:
    return LabelTest(
        entropy_bits=_number(test.entropy[cluster]),
        null_bits=_number(test.null[cluster]),
        reduction=_number(test.reduction[cluster]),
        purity=_number(test.purity[cluster]),
        q=_number(test.q[cluster]),
        monosemantic=bool(test.monosemantic()[cluster]),
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _bits_of(
    codes: SplineCodes, bits: np.ndarray, items: np.ndarray, inside: np.ndarray
) -> tuple[float, tuple[DiscriminatingBit, ...]]:
    """Spread (median Hamming distance to the majority code) and the bits that set the cluster apart."""
    share_in, share_out = bits[inside].mean(0), bits[~inside].mean(0) if (~inside).any() else np.zeros(bits.shape[1])
    majority = share_in > 0.5
    spread = float(np.median((bits[items] != majority).sum(1)))
    order = np.argsort(-np.abs(share_in - share_out), kind="stable")[:SHOWN_BITS]
    places = [(int(bit), codes.map.place(int(bit))) for bit in order]
    return spread, tuple(
        DiscriminatingBit(place.layer, place.unit, float(share_in[bit]), float(share_out[bit])) for bit, place in places
    )


def summary(found: Clusters, cards: list[ClusterCard], tests: dict[str, Monosemanticity]) -> ClusterSummary:
    """The block of `results.json` for one kind of clusters."""
    return ClusterSummary(
        metric=found.metric,
        method=found.method,
        approximate=False,
        n_items=len(found.labels),
        n_clusters=found.n_clusters,
        noise_share=found.noise_share,
        min_cluster_size=found.min_cluster_size,
        reason=found.reason,
        n_monosemantic={name: int(test.monosemantic().sum()) for name, test in tests.items()},
        n_monosemantic_token_or_next=sum(card.is_pure for card in cards),
        cards=tuple(cards),
    )


def card_text(card: ClusterCard) -> str:
    """A card as a few lines of plain text."""
    tokens = ", ".join(f"{one.token!r} {one.n}" for one in card.tokens)
    reduction = card.token.reduction
    shown = "-" if reduction is None else f"{reduction:.2f}"
    lines = [f"cluster {card.cluster}: {card.n} tokens ({tokens}); token entropy below chance by {shown}"]
    for exemplar in card.exemplars:
        before = " ".join(exemplar.before.split())
        lines.append(f"    ...{before} [{exemplar.token.strip() or repr(exemplar.token)}]")
    return "\n".join(lines)
