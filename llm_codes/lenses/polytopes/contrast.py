"""Do polytope boundaries lie between meanings? Density between tokens of one class and of different classes, by layer.

Prediction 2 [Black et al. 2022]: inter-class density is above intra-class density, the more so in higher layers. Class:
the token itself, or the token that follows. Pairs share tokens, so classes are resampled, never pairs; both members of
a pair come from different documents.

Axis glossary: ``class`` labels with at least two documents, ``pair``, ``layer``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.measures.codes.polytope import code_density
from eval.measures.geometry.layer_norm_segment import layer_norm_crossings
from eval.measures.statistics.resampling import bootstrap_mean
from eval.scores import Score
from llm_codes.lenses.polytopes.maps import Block, secant_gate
from llm_codes.lenses.polytopes.rows import Contrast, DensityRow, DensityStage
from llm_codes.lenses.polytopes.samples import TokenSample, hard_codes
from llm_codes.models import Model
from llm_codes.sites import resolve_site

PAIRS_PER_CLASS = 6
MAXIMUM_CLASSES = 150
EXACT_CLASSES = 48


@dataclass(frozen=True)
class ClassPairs:
    """Matched pairs: item `first[p]` with `same[p]` of its class and with `other[p]` of another, and the class."""

    first: np.ndarray
    same: np.ndarray
    other: np.ndarray
    of_class: np.ndarray

    @property
    def n_classes(self) -> int:
        return int(self.of_class.max(initial=-1)) + 1


def class_pairs(labels: np.ndarray, document: np.ndarray, seed: int = 0) -> ClassPairs:
    """Up to six matched pairs for each of the most frequent classes; labels below 0 belong to no class."""
    generator = np.random.default_rng(seed)
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = names[np.argsort(-counts, kind="stable")][:MAXIMUM_CLASSES]
    usable = np.flatnonzero(labels >= 0)
    rows: list[tuple[int, int, int, int]] = []
    number = 0
    for name in order:
        members = np.flatnonzero(labels == name)
        found = []
        for first in generator.permutation(members)[:PAIRS_PER_CLASS]:
            same = members[document[members] != document[first]]
            other = usable[(labels[usable] != name) & (document[usable] != document[first])]
            if len(same) and len(other):
                found.append((int(first), int(generator.choice(same)), int(generator.choice(other)), number))
        if found:
            rows += found
            number += 1
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return ClassPairs(*table.T)


def density_by_layer(
    model: Model, sample: TokenSample, layers: Sequence[int], blocks: dict[int, Block], seed: int = 0
) -> DensityStage:
    """Rows of `density` (one per layer and class), and per class the scores behind prediction 2.

    Each layer is judged on its own code and its own input. `contrast` = (inter - intra) / mean inter, per class;
    `trend` = its least-squares slope over layers, per class.
    """
    rows: list[DensityRow] = []
    scores: dict[str, Contrast] = {}
    for name, labels in (("token", sample.token), ("next token", sample.next_token)):
        pairs = class_pairs(labels, sample.document, seed)
        contrasts = []
        for layer in layers:
            row, contrast = _layer(model, sample, layer, name, pairs, blocks[layer], seed)
            rows.append(row)
            contrasts.append(contrast)
        table = np.array(contrasts)
        centred = np.arange(len(layers)) - (len(layers) - 1) / 2
        weight = (centred**2).sum()
        trend = centred @ table / weight if len(layers) > 1 else np.full(pairs.n_classes, np.nan)
        mean = table.mean(0)
        scores[name] = Contrast(_mean(mean, seed), _mean(trend, seed))
    return DensityStage(tuple(rows), scores)


def _mean(values: np.ndarray, seed: int) -> Score:
    if not np.isfinite(values).any():
        return Score.undefined("no class has tokens in two documents, or a single layer has no trend", 0)
    return bootstrap_mean(values, seed=seed)


def _layer(
    model: Model, sample: TokenSample, layer: int, name: str, pairs: ClassPairs, block: Block, seed: int
) -> tuple[DensityRow, np.ndarray]:
    if not len(pairs.first):
        return _no_pairs(layer, name), np.zeros(0)
    codes = hard_codes(model, sample, [layer])
    inputs = sample.values[resolve_site(model, "resid_mid", layer).hook]
    pre = sample.values[resolve_site(model, "mlp_pre", layer).hook]
    sides = {}
    for side, second in (("intra", pairs.same), ("inter", pairs.other)):
        density = code_density(codes[pairs.first], codes[second], inputs[pairs.first], inputs[second])
        sides[side] = density
    intra, inter = (_by_class(sides[side].value, pairs) for side in ("intra", "inter"))
    scale = float(np.nanmean(inter)) if len(inter) else 1.0
    soft, exact = _soft(block, pre, inputs, pairs), _exact(block, inputs, pairs, seed)
    row = DensityRow(
        classes=name,
        layer=layer,
        n_classes=pairs.n_classes,
        n_pairs=len(pairs.first),
        count="Hamming",
        intra=bootstrap_mean(intra, seed=seed),
        inter=bootstrap_mean(inter, seed=seed),
        difference=bootstrap_mean(inter - intra, seed=seed),
        exact_intra=exact[0],
        exact_inter=exact[1],
        undefined=next((density.reason for density in sides.values() if density.reason), None),
        share_near_zero=float(codes.near_zero.mean()) if len(codes) else None,
        soft_intra=soft[0],
        soft_inter=soft[1],
    )
    return row, (inter - intra) / scale


def _no_pairs(layer: int, name: str) -> DensityRow:
    """The row of a layer where no class has two documents: every number undefined, with the reason."""
    none = Score.undefined("no class has tokens in two documents; read more --tokens", 0)
    return DensityRow(
        classes=name,
        layer=layer,
        n_classes=0,
        n_pairs=0,
        count="Hamming",
        intra=none,
        inter=none,
        difference=none,
        exact_intra=none,
        exact_inter=none,
        undefined=none.reason,
        share_near_zero=None,
        soft_intra=None,
        soft_inter=None,
    )


def _by_class(values: np.ndarray, pairs: ClassPairs) -> np.ndarray:
    """Mean of each class, NaN pairs left out."""
    known = np.isfinite(values)
    total = np.bincount(pairs.of_class[known], values[known], minlength=pairs.n_classes)
    count = np.bincount(pairs.of_class[known], minlength=pairs.n_classes)
    return np.divide(total, count, out=np.full(pairs.n_classes, np.nan), where=count > 0)


def _soft(block: Block, pre: np.ndarray, inputs: np.ndarray, pairs: ClassPairs) -> list[float | None]:
    """Mean soft density (L1 of the gate probabilities) within and between classes."""
    import torch

    out: list[float | None] = []
    for second in (pairs.same, pairs.other):
        a, b = (secant_gate(block.act, torch.from_numpy(pre[i]).double()) for i in (pairs.first, second))
        length = np.linalg.norm(inputs[pairs.first].astype(float) - inputs[second], axis=1)
        distance = (a - b).abs().sum(1).numpy()
        known = length > 0
        out.append(float((distance[known] / length[known]).mean()) if known.any() else None)
    return out


def one_pair_per_class(pairs: ClassPairs, n_classes: int, seed: int = 0) -> np.ndarray:
    """Rows of `pairs`: one at random of each class, of at most `n_classes` classes drawn at random."""
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(pairs.n_classes)[:n_classes]
    return np.array([generator.choice(np.flatnonzero(pairs.of_class == c)) for c in np.sort(chosen)], dtype=np.int64)


def _exact(block: Block, inputs: np.ndarray, pairs: ClassPairs, seed: int) -> list[Score]:
    """Exact crossing density of one pair per class, within and between: neurons that switch twice on the way count
    twice. Interval over classes."""
    rows = one_pair_per_class(pairs, EXACT_CLASSES, seed)
    out = []
    for second in (pairs.same, pairs.other):
        found = [
            layer_norm_crossings(
                inputs[i], inputs[j], block.w_in.numpy(), block.b_in.numpy(), scale=block.scale.numpy(),
                offset=block.offset.numpy(), epsilon=block.epsilon, centre=block.centre,
            ).density
            for i, j in zip(pairs.first[rows], second[rows], strict=True)
            if not np.array_equal(inputs[i], inputs[j])
        ]  # fmt: skip
        out.append(bootstrap_mean(np.array(found), seed=seed) if found else Score.undefined("no pair of inputs", 0))
    return out
