"""How good are SAEs or transcoders on held-out documents? Reconstruction, sparsity, and what the model loses.

One pass with the real model, and for each site that is written two more with it replaced: by zero, by the mean; for
each dictionary one with its reconstruction. So a dictionary beside four baselines costs eight passes and not twenty.
A transcoder is scored where it writes (its output hook), not where it reads. The first `exclude_positions` positions of
a window (position 0) are left as they are and not counted. Every number has an interval over documents.
Axes: batch, position, width, document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.connectors.faithfulness import recovered
from eval.measures.dictionaries.dictionary_quality import DictionaryQuality
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.progress import progress
from eval.scores import Score
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import Consumer, keep_mask
from llm_codes.lenses.saes.cross_layer import CrossLayerPlace
from llm_codes.lenses.saes.files import open_dictionary
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.lenses.saes.predictions import (
    add_by_document,
    counted,
    divergences,
    keep_first,
    log_probabilities,
    losses,
)
from llm_codes.lenses.saes.rows import DictionaryEvaluation, Sizes
from llm_codes.lenses.saes.training.memory import evaluation_bytes, refuse_above
from llm_codes.models import Model, load_model

ORIGINAL, ZERO, MEAN = "original", "zero-ablated", "mean-ablated"


@dataclass
class _Sums:
    """Per document: summed CE of the model and of each ablated site, summed KL of zeroed ones, predicted tokens."""

    ce: dict[tuple[str, str], np.ndarray]
    kl_zero: dict[str, np.ndarray]
    tokens: np.ndarray


@dataclass
class _OfOne:
    """Per document, of one dictionary: summed CE with its reconstruction, summed KL; its reconstruction's quality."""

    sae: SAEFolder | CrossLayerPlace
    quality: DictionaryQuality
    ce: np.ndarray
    kl: np.ndarray


@torch.no_grad()
def mean_activation(
    model: Model, corpus: Corpus, hook: str, batch_size: int = 16, windows: int = 64, exclude_positions: int = 1
) -> Tensor:
    """The mean activation at a hook over the first windows, their first positions left out."""
    total, count = torch.zeros(1), 0
    for batch in corpus.select(np.arange(min(windows, len(corpus)))).batches(batch_size):
        keep = keep_mask(batch, exclude_positions).to(model.device)
        kept = model.activations(batch.tokens, [hook])[hook][keep].float().cpu()
        total, count = total + kept.sum(0), count + len(kept)
    return total / max(1, count)


def evaluate_dictionary(
    model: Any,
    corpus: Corpus,
    sae: Any,
    *,
    batch_size: int = 8,
    seed: int = 0,
    exclude_positions: int = 1,
    max_memory_gb: float | None = None,
    consumers: Sequence[Consumer] = (),
) -> DictionaryEvaluation:
    """Quality of one dictionary on a corpus of held-out documents.

    Args:
        model: what `load_model` opens. sae: a dictionary, its folder, or an object of sae-lens.
        exclude_positions: leading positions of each window that are neither replaced nor counted.
        consumers: fed with what the dictionary reads, on the same pass (feature dashboards).

    Raises:
        UserError: the dictionary does not fit the model; no tokens.
    """
    options = {"batch_size": batch_size, "seed": seed, "exclude_positions": exclude_positions}
    return evaluate_dictionaries(model, corpus, [sae], max_memory_gb=max_memory_gb, consumers=consumers, **options)[0]


def evaluate_dictionaries(
    model: Any,
    corpus: Corpus,
    saes: Sequence[Any],
    *,
    batch_size: int = 8,
    seed: int = 0,
    exclude_positions: int = 1,
    max_memory_gb: float | None = None,
    consumers: Sequence[Consumer] = (),
) -> list[DictionaryEvaluation]:
    """Quality of several dictionaries of one model, on one walk of a corpus; in their order.

    Args: as `evaluate_dictionary`; saes: also layers of a cross-layer transcoder (`places()`). Consumers get what each
        of the places reads, by hook name.

    Raises:
        UserError: a dictionary that does not fit the model; no tokens.
    """
    model = load_model(model)
    opened = [check_fits(sae if isinstance(sae, CrossLayerPlace) else open_dictionary(sae), model) for sae in saes]
    if not corpus.n_tokens:
        raise UserError("expected tokens to evaluate on; got none; raise --tokens")
    widest = max(opened, key=lambda sae: sae.n_features)
    refuse_above(max_memory_gb, evaluation_bytes(model, corpus, widest, batch_size), "sae eval")
    walk = _Walk(model, opened, corpus, batch_size, exclude_positions)
    n_batches = -(-len(corpus) // batch_size)
    for batch in progress(corpus.batches(batch_size), label="sae eval", total=n_batches, unit="batch"):
        keep = keep_mask(batch, exclude_positions).to(model.device)
        read = walk.add(batch, keep)
        for consumer in consumers:
            consumer.update(read, batch, keep)
    return [_evaluated(one, walk.sums, seed) for one in walk.dictionaries]


def _evaluated(one: _OfOne, sums: _Sums, seed: int) -> DictionaryEvaluation:
    fields: dict[str, Any] = {"sae": one.sae.name, "hook": one.sae.hook, "hook_out": one.sae.hook_out}
    fields |= _scores(one, sums, seed)
    density = tuple(one.quality.density_histogram())
    return DictionaryEvaluation(**fields, density=density, sizes=_sizes(one, sums, seed))


def _sizes(one: _OfOne, sums: _Sums, seed: int) -> Sizes:
    kept, hook = sums.tokens > 0, one.sae.hook_out
    tokens = sums.tokens[kept]
    zeroed = {"ce_zero": sums.ce[ZERO, hook][kept], "kl_zero": sums.kl_zero[hook][kept]}
    scores = {name: bootstrap_ratio(values, tokens, seed=seed) for name, values in zeroed.items()}
    n_tokens = int(one.quality.sums[:, -1].sum())
    return Sizes(**one.quality.sizes(seed), **scores, n_tokens=n_tokens, n_predicted=int(tokens.sum()))


class _Walk:
    """Several dictionaries on one model, batch by batch; two variants' next-token distributions are held at once."""

    def __init__(
        self,
        model: Model,
        saes: Sequence[SAEFolder | CrossLayerPlace],
        corpus: Corpus,
        batch_size: int,
        exclude_positions: int,
    ) -> None:
        self.model, self.exclude_positions = model, exclude_positions
        self.means = {
            hook: mean_activation(model, corpus, hook, batch_size, exclude_positions=exclude_positions)
            for hook in dict.fromkeys(sae.hook_out for sae in saes)
        }
        size = len(corpus.documents)
        ablated = [(name, hook) for hook in self.means for name in (ZERO, MEAN)]
        self.sums = _Sums(
            {key: np.zeros(size) for key in ((ORIGINAL, ""), *ablated)},
            {hook: np.zeros(size) for hook in self.means},
            np.zeros(size),
        )
        self.dictionaries = [
            _OfOne(
                sae,
                DictionaryQuality(size, sae.n_features, self.means[sae.hook_out]),
                np.zeros(size),
                np.zeros(size),
            )
            for sae in saes
        ]

    @torch.no_grad()
    def add(self, batch: Batch, keep: Tensor) -> dict[str, Tensor]:
        """Add a batch to the sums; returns what the dictionaries read and write, [batch position width] by hook."""
        seen: dict[str, Tensor] = {}

        def keep_as(name: str) -> Callable[[Tensor, Any], None]:
            def fn(activation: Tensor, hook: Any) -> None:
                seen[name] = activation.float()

            return fn

        hooks = dict.fromkeys(hook for one in self.dictionaries for hook in (*one.sae.hooks_read, one.sae.hook_out))
        predicted = counted(batch, self.exclude_positions)
        original = log_probabilities(self.model, batch, [(hook, keep_as(hook)) for hook in hooks])
        add_by_document(self.sums.ce[ORIGINAL, ""], batch, losses(original, batch), predicted)
        add_by_document(self.sums.tokens, batch, predicted.double(), predicted)
        for hook, mean in self.means.items():
            y = seen[hook]
            for name, made in ((ZERO, torch.zeros_like(y)), (MEAN, mean.to(y.device).expand_as(y))):
                log = self._replaced(batch, hook, made)
                add_by_document(self.sums.ce[name, hook], batch, losses(log, batch), predicted)
                if name == ZERO:
                    add_by_document(self.sums.kl_zero[hook], batch, divergences(original, log), predicted)
        for one in self.dictionaries:
            x, y = seen[one.sae.hook], seen[one.sae.hook_out]
            written = one.sae.written_from(seen)
            log = self._replaced(batch, one.sae.hook_out, written)
            add_by_document(one.ce, batch, losses(log, batch), predicted)
            add_by_document(one.kl, batch, divergences(original, log), predicted)
            document = batch.document.to(x.device)[:, None].expand_as(keep)[keep]
            features = one.sae.encode(x[keep])
            one.quality.update(y[keep].cpu(), written[keep].cpu(), features.cpu(), document.cpu())
        return seen

    def _replaced(self, batch: Batch, hook: str, replacement: Tensor) -> Tensor:
        """Next-token log probabilities with a site replaced, its first positions left as they are."""
        first = self.exclude_positions
        swap = (hook, lambda activation, hook: keep_first(activation, replacement, first))
        return log_probabilities(self.model, batch, [swap])


def _scores(one: _OfOne, sums: _Sums, seed: int) -> dict[str, Score]:
    kept = sums.tokens > 0
    tokens, original, replaced = sums.tokens[kept], sums.ce[ORIGINAL, ""][kept], one.ce[kept]
    zero, mean = (sums.ce[name, one.sae.hook_out][kept] for name in (ZERO, MEAN))
    return one.quality.results(seed) | {
        "ce_original": bootstrap_ratio(original, tokens, seed=seed),
        "ce_delta": bootstrap_ratio(replaced - original, tokens, seed=seed),
        "ce_recovered_zero": recovered(original, replaced, zero, seed=seed),
        "ce_recovered_mean": recovered(original, replaced, mean, seed=seed),
        "kl": bootstrap_ratio(one.kl[kept], tokens, seed=seed),
    }
