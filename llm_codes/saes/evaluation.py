"""How good is an SAE or transcoder on held-out documents? Reconstruction, sparsity, and what the model loses.

One pass with the real model and three with the site replaced: by the dictionary's reconstruction, by zero, by the mean.
A transcoder is scored where it writes (its output hook), not where it reads. Position 0 is left as it is and not
counted. Every number has an interval over documents. Axes: batch, position, width, document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.measures.dictionary_quality import DictionaryQuality
from eval.measures.faithfulness import recovered
from eval.measures.resampling import bootstrap_ratio
from eval.progress import progress
from eval.scores import Score
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import keep_mask
from llm_codes.models import Model
from llm_codes.saes.files import SAEFolder, check_fits

LOSSES = ("original", "reconstructed", "zero-ablated", "mean-ablated")


@dataclass
class _Sums:
    """Per document: summed CE of each variant, summed KL, predicted tokens."""

    ce: dict[str, np.ndarray]
    kl: np.ndarray
    tokens: np.ndarray


@torch.no_grad()
def mean_activation(model: Model, corpus: Corpus, hook: str, batch_size: int = 16, windows: int = 64) -> Tensor:
    """The mean activation at a hook over the first windows, position 0 left out."""
    total, count = torch.zeros(1), 0
    for batch in corpus.select(np.arange(min(windows, len(corpus)))).batches(batch_size):
        kept = model.activations(batch.tokens, [hook])[hook][keep_mask(batch, 1).to(model.device)].float().cpu()
        total, count = total + kept.sum(0), count + len(kept)
    return total / max(1, count)


def evaluate_sae(
    model: Model, sae: SAEFolder, corpus: Corpus, *, batch_size: int = 8, seed: int = 0
) -> tuple[dict[str, Score], list[dict[str, Any]]]:
    """Quality of one dictionary on a corpus of held-out documents.

    Returns:
        Scores `l0`, `fvu`, `fvu_per_token`, `cosine`, `dead_share`, `ce_original`, `ce_delta` (nats per token that the
        reconstruction costs), `ce_recovered_zero`, `ce_recovered_mean` (share of the ablation's cost that it saves),
        `kl` (of the next-token distributions, nats); and the density histogram.

    Raises:
        UserError: the dictionary does not fit the model.
    """
    check_fits(sae, model)
    mean = mean_activation(model, corpus, sae.hook_out, batch_size)
    quality = DictionaryQuality(len(corpus.documents), sae.n_features, mean)
    size = len(corpus.documents)
    sums = _Sums({name: np.zeros(size) for name in LOSSES}, np.zeros(size), np.zeros(size))
    n_batches = -(-len(corpus) // batch_size)
    for batch in progress(corpus.batches(batch_size), label="sae eval", total=n_batches, unit="batch"):
        _one_batch(model, sae, batch, mean, quality, sums)
    return _scores(quality, sums, seed), quality.density_histogram()


@torch.no_grad()
def _one_batch(
    model: Model, sae: SAEFolder, batch: Batch, mean: Tensor, quality: DictionaryQuality, sums: _Sums
) -> None:
    seen: dict[str, Tensor] = {}

    def keep_as(name: str) -> Callable[[Tensor, Any], None]:
        def fn(activation: Tensor, hook: Any) -> None:
            seen[name] = activation

        return fn

    def replace_with(make: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Any], Tensor]:
        def fn(activation: Tensor, hook: Any) -> Tensor:
            out = make(activation.float()).to(activation.dtype).clone()
            out[:, 0] = activation[:, 0]
            return out

        return fn

    logits = {"original": model.logits(batch.tokens, [(sae.hook, keep_as("x")), (sae.hook_out, keep_as("y"))])}
    written = sae.reconstruct(seen["x"].float())
    makers = {
        "reconstructed": lambda y: written,
        "zero-ablated": torch.zeros_like,
        "mean-ablated": lambda y: mean.to(y.device).expand_as(y),
    }
    for name, make in makers.items():
        logits[name] = model.logits(batch.tokens, [(sae.hook_out, replace_with(make))])
    keep = keep_mask(batch, 1).to(model.device)
    features = sae.encode(seen["x"].float()[keep])
    document = batch.document.to(model.device)[:, None].expand_as(keep)[keep]
    quality.update(seen["y"].float()[keep].cpu(), written[keep].cpu(), features.cpu(), document.cpu())
    _add_losses(batch, logits, sums)


def _add_losses(batch: Batch, logits: dict[str, Tensor], sums: _Sums) -> None:
    """CE and KL of the predictions made from position 1 on."""
    keep = batch.mask[:, 1:].clone()
    keep[:, 0] = False
    targets = batch.tokens[:, 1:, None].to(logits["original"].device)
    logs = {name: values[:, :-1].float().log_softmax(-1) for name, values in logits.items()}
    document = batch.document.numpy()
    for name, log in logs.items():
        losses = -log.gather(-1, targets)[..., 0].cpu() * keep
        np.add.at(sums.ce[name], document, losses.double().sum(1).numpy())
    divergence = (logs["original"].exp() * (logs["original"] - logs["reconstructed"])).sum(-1).cpu() * keep
    np.add.at(sums.kl, document, divergence.double().sum(1).numpy())
    np.add.at(sums.tokens, document, keep.double().sum(1).numpy())


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
