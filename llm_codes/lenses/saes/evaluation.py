"""How good is an SAE or transcoder on held-out documents? Reconstruction, sparsity, and what the model loses.

One pass with the real model and three with the site replaced: by the dictionary's reconstruction, by zero, by the mean.
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
from llm_codes.lenses.saes.rows import DictionaryEvaluation
from llm_codes.lenses.saes.training.memory import evaluation_bytes, refuse_above
from llm_codes.models import Model, load_model

LOSSES = ("original", "reconstructed", "zero-ablated", "mean-ablated")


@dataclass
class _Sums:
    """Per document: summed CE of each variant, summed KL, predicted tokens."""

    ce: dict[str, np.ndarray]
    kl: np.ndarray
    tokens: np.ndarray


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
    model = load_model(model)
    sae = check_fits(open_dictionary(sae), model)
    if not corpus.n_tokens:
        raise UserError("expected tokens to evaluate on; got none; raise --tokens")
    refuse_above(max_memory_gb, evaluation_bytes(model, corpus, sae, batch_size), "sae eval")
    mean = mean_activation(model, corpus, sae.hook_out, batch_size, exclude_positions=exclude_positions)
    quality = DictionaryQuality(len(corpus.documents), sae.n_features, mean)
    size = len(corpus.documents)
    sums = _Sums({name: np.zeros(size) for name in LOSSES}, np.zeros(size), np.zeros(size))
    evaluation = _Evaluation(model, sae, mean, exclude_positions, quality, sums)
    n_batches = -(-len(corpus) // batch_size)
    for batch in progress(corpus.batches(batch_size), label="sae eval", total=n_batches, unit="batch"):
        keep = keep_mask(batch, exclude_positions).to(model.device)
        x = evaluation.add(batch, keep)
        for consumer in consumers:
            consumer.update({sae.hook: x}, batch, keep)
    fields: dict[str, Any] = {"sae": sae.name, "hook": sae.hook, "hook_out": sae.hook_out}
    fields |= _scores(quality, sums, seed)
    return DictionaryEvaluation(**fields, density=tuple(quality.density_histogram()))


@dataclass
class _Evaluation:
    """One dictionary on one model, batch by batch; at most two variants' next-token distributions are held at once."""

    model: Model
    sae: SAEFolder
    mean: Tensor
    exclude_positions: int
    quality: DictionaryQuality
    sums: _Sums

    @torch.no_grad()
    def add(self, batch: Batch, keep: Tensor) -> Tensor:
        """Add a batch to the sums; returns what the dictionary read, [batch position d_in]."""
        seen: dict[str, Tensor] = {}

        def keep_as(name: str) -> Callable[[Tensor, Any], None]:
            def fn(activation: Tensor, hook: Any) -> None:
                seen[name] = activation

            return fn

        hooks = [(self.sae.hook, keep_as("x")), (self.sae.hook_out, keep_as("y"))]
        predicted = counted(batch, self.exclude_positions)
        original = log_probabilities(self.model, batch, hooks)
        add_by_document(self.sums.ce["original"], batch, losses(original, batch), predicted)
        add_by_document(self.sums.tokens, batch, predicted.double(), predicted)
        x, y = seen["x"].float(), seen["y"].float()
        written = self.sae.reconstruct(x)
        made = {
            "reconstructed": written,
            "zero-ablated": torch.zeros_like(y),
            "mean-ablated": self.mean.to(y.device).expand_as(y),
        }
        for name, replacement in made.items():
            log = log_probabilities(self.model, batch, [(self.sae.hook_out, self._replace(replacement))])
            add_by_document(self.sums.ce[name], batch, losses(log, batch), predicted)
            if name == "reconstructed":
                add_by_document(self.sums.kl, batch, divergences(original, log), predicted)
        document = batch.document.to(x.device)[:, None].expand_as(keep)[keep]
        features = self.sae.encode(x[keep])
        self.quality.update(y[keep].cpu(), written[keep].cpu(), features.cpu(), document.cpu())
        return x

    def _replace(self, replacement: Tensor) -> Callable[[Tensor, Any], Tensor]:
        return lambda activation, hook: keep_first(activation, replacement, self.exclude_positions)


def _scores(quality: DictionaryQuality, sums: _Sums, seed: int) -> dict[str, Score]:
    kept = sums.tokens > 0
    ce, tokens = {name: values[kept] for name, values in sums.ce.items()}, sums.tokens[kept]
    original, replaced = ce["original"], ce["reconstructed"]
    return quality.results(seed) | {
        "ce_original": bootstrap_ratio(original, tokens, seed=seed),
        "ce_delta": bootstrap_ratio(replaced - original, tokens, seed=seed),
        "ce_recovered_zero": recovered(original, replaced, ce["zero-ablated"], seed=seed),
        "ce_recovered_mean": recovered(original, replaced, ce["mean-ablated"], seed=seed),
        "kl": bootstrap_ratio(sums.kl[kept], tokens, seed=seed),
    }
