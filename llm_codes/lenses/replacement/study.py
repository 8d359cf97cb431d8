"""Cross-entropy, KL, top-1 agreement and logit differences with MLPs replaced, per layer and all at once.

What stands in for an MLP reads what reaches it in the replaced model, so that errors of lower layers pass on. The first
`exclude_positions` positions of a window keep what the MLP writes and are not counted. Sums are kept by document.
Axes: batch, position, vocabulary, document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.connectors.faithfulness import recovered
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.pieces import Arrays, Pieces
from eval.progress import progress
from eval.scores import Score
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.replacement import ReplacementOptions
from llm_codes.corpus import Batch, Corpus
from llm_codes.lenses.replacement.outputs import LINEAR, MEANS, VARIANTS, CrossLayerWrite, Write, writers
from llm_codes.lenses.replacement.rows import ALL_LAYERS, ReplacementResults, ReplacementRow
from llm_codes.lenses.replacement.stand_ins import StandIns, open_stand_ins
from llm_codes.lenses.saes.predictions import (
    add_by_document,
    counted,
    divergences,
    keep_first,
    log_probabilities,
    losses,
)
from llm_codes.lenses.saes.study import with_changes
from llm_codes.models import Model, load_model

MODEL = "model"
SUMS = ("ce", "kl", "top1", "difference")


def replacement_model(
    model: Any,
    train: Corpus,
    held_out: Corpus,
    transcoders: Any = None,
    options: ReplacementOptions | None = None,
    harvest_options: HarvestOptions | None = None,
    *,
    seed: int = 0,
    pieces: Pieces | None = None,
    **changes: Any,
) -> ReplacementResults:
    """What does the model lose where transcoders stand in for its MLPs, beside linear maps, shuffles and means?

    Args:
        model: what `load_model` opens. transcoders: what `open_transcoders` takes, or a cross-layer
            transcoder; none: the embedded model's own.
        train: documents on which linear maps and mean outputs are fitted. held_out: documents that are scored.
        options, harvest_options, changes: the command's, or single ones by name. seed: shuffles and intervals.
        pieces: where finished layers are kept.

    Raises:
        UserError: transcoders that do not fit the model or are missing at a layer; no tokens.
    """
    model = load_model(model)
    _, walk = with_changes((options or ReplacementOptions(), harvest_options or HarvestOptions()), changes)
    opened = open_stand_ins(model, transcoders)
    if not held_out.n_tokens:
        raise UserError("expected tokens to score on; got none; raise --tokens")
    kept = pieces or Pieces()
    made: dict[str, list[Write]] = {}

    def write() -> dict[str, list[Write]]:
        return made or made.update(writers(model, opened, train, walk, seed)) or made

    passes = _Passes(model, held_out, opened, walk, write)
    places = (*map(str, range(model.n_layers)), ALL_LAYERS)

    def sums_at(place: str) -> tuple[dict[str, str], Arrays]:
        return {}, passes.sums(place)

    found = kept.all_with_arrays(dict, {f"layer-{place}": partial(sums_at, place) for place in places})
    sums: dict[str, Arrays] = {place: arrays for place, (_, arrays) in zip(places, found, strict=True)}
    exactness = kept.item("exactness", float, passes.exactness)
    tokens = sums[ALL_LAYERS]["tokens"]
    rows = tuple(_row(found, variant, place, seed) for place, found in sums.items() for variant in VARIANTS)
    ce_model = bootstrap_ratio(*_scored(tokens, sums[ALL_LAYERS][f"{MODEL}.ce"], tokens), seed=seed)
    return ReplacementResults(rows, ce_model, exactness, train.n_tokens)


class _Passes:
    """The model and its replacements on held-out text."""

    def __init__(
        self,
        model: Model,
        corpus: Corpus,
        opened: StandIns,
        walk: HarvestOptions,
        write: Callable[[], Mapping[str, Sequence[Write]]],
    ) -> None:
        self.model, self.corpus, self.walk, self.write = model, corpus, walk, write
        self.opened, self.hooks = opened, opened.hooks

    @torch.no_grad()
    def sums(self, place: str) -> Arrays:
        """Per document and variant: summed CE, KL, agreement and logit difference with one layer, or all, replaced."""
        layers = range(len(self.hooks)) if place == ALL_LAYERS else [int(place)]
        size = len(self.corpus.documents)
        out = {f"{name}.{kind}": np.zeros(size) for name in (MODEL, *VARIANTS) for kind in SUMS}
        out["tokens"] = np.zeros(size)
        batches, n = self.corpus.batches(self.walk.batch_size), -(-len(self.corpus) // self.walk.batch_size)
        for batch in progress(batches, label=f"replacement, layer {place}", total=n, unit="batch"):
            predicted, own = counted(batch, self.walk.exclude_positions), log_probabilities(self.model, batch)
            add_by_document(out["tokens"], batch, predicted.double(), predicted)
            self._add(out, MODEL, batch, predicted, own, own)
            for variant in VARIANTS:
                replaced = log_probabilities(self.model, batch, self._replacing(self.write()[variant], layers))
                self._add(out, variant, batch, predicted, own, replaced)
        return out

    @torch.no_grad()
    def exactness(self) -> float:
        """Largest change of a logit of the first batch in the local replacement model: the features that were on stay
        on, and every transcoder's own error is added back, in float64: what an MLP wrote comes back to the last bit,
        so that a remainder is a fault of the replacement and not of rounding."""
        batch = next(iter(self.corpus.batches(self.walk.batch_size)))
        seen = self.model.activations(batch.tokens, [hook for pair in self.hooks for hook in pair])
        local = self.opened.with_features_on(seen)
        read = {layer: seen[first].float() for layer, (first, _) in enumerate(self.hooks)}
        written = [_written(write, layer, read) for layer, write in enumerate(local)]
        errors = [seen[second].double() - made.double() for (_, second), made in zip(self.hooks, written, strict=True)]
        replaced = self.model.logits(batch.tokens, self._replacing(local, range(len(self.hooks)), errors))
        change = (replaced - self.model.logits(batch.tokens)).abs().float().cpu() * batch.mask[..., None]
        return float(change.max())

    def _replacing(
        self, writes: Sequence[Write], layers: Sequence[int], errors: Sequence[Tensor] | None = None
    ) -> list[Any]:
        """Hooks that put what stands in for an MLP in its place, from what is read in this very pass.

        errors: added to it, by layer.
        """
        hooks: list[Any] = []
        read: dict[int, Tensor] = {}

        def keep(activation: Tensor, hook: Any, layer: int) -> None:
            read[layer] = activation.float()

        def put(activation: Tensor, hook: Any, layer: int) -> Tensor:
            made = _written(writes[layer], layer, read)
            made = made if errors is None else (made.double() + errors[layer]).to(activation.dtype)
            return keep_first(activation, made, self.walk.exclude_positions)

        for layer in sorted({read for number in layers for read in _reads(writes[number], number)}):
            hooks.append((self.hooks[layer][0], partial(keep, layer=layer)))
            hooks += [(self.hooks[layer][1], partial(put, layer=layer))] if layer in layers else []
        return hooks

    @staticmethod
    def _add(out: Arrays, name: str, batch: Batch, predicted: Tensor, own: Tensor, replaced: Tensor) -> None:
        first, second = own.topk(2, dim=-1).indices.unbind(-1)
        gap = replaced.gather(-1, torch.stack([first, second], -1))
        values = {
            "ce": losses(replaced, batch),
            "kl": divergences(own, replaced),
            "top1": replaced.argmax(-1) == first,
            "difference": gap[..., 0] - gap[..., 1],
        }
        for kind, value in values.items():
            add_by_document(out[f"{name}.{kind}"], batch, value, predicted)


def _reads(write: Write, layer: int) -> range:
    """The layers whose MLP inputs it takes."""
    return range(layer + 1) if isinstance(write, CrossLayerWrite) else range(layer, layer + 1)


def _written(write: Write, layer: int, read: Mapping[int, Tensor]) -> Tensor:
    """What stands in at a layer, from what the layers read."""
    if not isinstance(write, CrossLayerWrite):
        return write(read[layer])
    return write.written([write.features(number, read[number]) for number in range(layer + 1)], read[layer].shape)


def _scored(tokens: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    """The values of the documents that have a counted prediction."""
    return [value[tokens > 0] for value in values]


def _row(sums: Arrays, variant: str, place: str, seed: int) -> ReplacementRow:
    tokens = sums["tokens"]
    names = (f"{variant}.ce", f"{MODEL}.ce", f"{MEANS}.ce", f"{variant}.kl", f"{variant}.top1", f"{LINEAR}.kl")
    ce, own, ablated, kl, top1, linear, count = _scored(tokens, *(sums[name] for name in names), tokens)
    gap, own_gap, mean_gap = _scored(tokens, *(-sums[f"{name}.difference"] for name in (variant, MODEL, MEANS)))
    itself = Score.undefined("0 by definition", len(count))
    return ReplacementRow(
        variant,
        place,
        bootstrap_ratio(ce - own, count, seed=seed),
        bootstrap_ratio(kl, count, seed=seed),
        bootstrap_ratio(top1, count, seed=seed),
        bootstrap_ratio(linear - kl, count, seed=seed),
        itself if variant == MEANS else recovered(own, ce, ablated, seed=seed),
        itself if variant == MEANS else recovered(own_gap, gap, mean_gap, seed=seed),
    )
