"""One forward pass over a corpus feeds any number of consumers at any number of sites.

Axes: batch (windows), position, width. Nothing walks the corpus twice for two answers, and nothing holds more than one
batch of activations. Under `torchrun` every process walks its share of the windows, and `reduce` merges the consumers.
With a checkpoint a killed pass continues at the last interval.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.errors import UserError
from eval.files import is_readable, remove, sealed_path
from eval.options import chosen
from eval.processes import process_group, rank, world_size
from eval.progress import progress_bar, say
from eval.run_identity import code_of
from llm_codes.activation_source import ActivationSource
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Batch, Corpus
from llm_codes.sites import Site

GIGABYTE = 2**30


@runtime_checkable
class Consumer(Protocol):
    """What `harvest` feeds: moments, packed codes, a record keeper, a trainer.

    A consumer that also has `memory_bytes() -> int` is counted in the prediction; one that has `reduce()` is merged
    over processes; one that has `state() -> dict[str, array]` and `load(state)` survives a kill; one with `per_site =
    True` gets each site by itself as soon as it is computed, so that no batch is held at all sites at once.
    """

    @property
    def sites(self) -> Sequence[Site]: ...

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        """Take one batch: activations by hook name; `keep` marks the positions that count."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a pass saves its consumers (one file per process); it goes when the pass is complete."""

    path: Path
    every_seconds: float = 60.0

    def of_part(self, name: str) -> Checkpoint:
        """The checkpoint of one of several passes."""
        return replace(self, path=self.path.with_name(f"{self.path.name}-{name}"))

    @property
    def file(self) -> Path:
        return self.path.with_name(f"{self.path.name}.rank{rank()}of{world_size()}.npz")


def predicted_bytes(model: ActivationSource, corpus: Corpus, consumers: Sequence[Consumer], batch_size: int) -> int:
    """Peak memory beyond the model, in bytes: one batch of activations (twice: as read and as converted), the block's
    own working set, and what the consumers keep. Consumers fed site by site need the widest site only."""
    held = sum(site.width for site in _sites([consumer for consumer in consumers if not _per_site(consumer)]))
    widths = max(held, *(site.width for site in _sites(consumers)))
    kept = sum(consumer.memory_bytes() for consumer in consumers if hasattr(consumer, "memory_bytes"))  # type: ignore[attr-defined]
    return pass_bytes(model, corpus.context, widths, kept, batch_size)


def pass_bytes(model: ActivationSource, context: int, widths: int, kept: int, batch_size: int) -> int:
    """The same from the numbers themselves: `widths` of activation held at once, `kept` bytes of the consumers."""
    element = torch.finfo(model.dtype).bits // 8
    activations = batch_size * context * widths * (element + 4)
    return activations + model.numbers_alive(batch_size, context) * element + kept


def _per_site(consumer: Consumer) -> bool:
    return getattr(consumer, "per_site", False)


def _sites(consumers: Sequence[Consumer]) -> list[Site]:
    return list(dict.fromkeys(site for consumer in consumers for site in consumer.sites))


def keep_mask(batch: Batch, exclude_positions: int) -> Bool[Tensor, "batch position"]:
    """Which positions count: text (not padding), without the first `exclude_positions` of each window."""
    keep = batch.mask.clone()
    keep[:, :exclude_positions] = False
    return keep


def harvest(
    model: ActivationSource,
    corpus: Corpus,
    consumers: Sequence[Consumer],
    options: HarvestOptions | None = None,
    *,
    checkpoint: Checkpoint | None = None,
    label: str = "harvest",
    **changes: Any,
) -> int:
    """Walk the corpus once and feed every consumer; returns the number of tokens this process read.

    The forward pass stops at the last layer any consumer needs. Position 0 is left out by default: pretrained models
    park an enormous activation there.

    Args:
        model: a model, or a store of its activations, on the store's own windows.
        options: excluded positions, batch size, memory limit; changes: single ones by name.
        checkpoint: where a killed pass continues. label: what the progress line says.

    Raises:
        UserError: windows longer than the model's context, or without a position that counts; predicted memory above
            `max_memory_gb` (before anything runs); non-finite activations (site and batch are named).
    """
    options = chosen(HarvestOptions, options, changes)
    if corpus.context > model.context:
        raise UserError(f"windows of {corpus.context} tokens exceed the context of {model.name} ({model.context})")
    if options.exclude_positions >= corpus.context:
        raise UserError(
            f"expected fewer left-out positions than a window has, {corpus.context}; got {options.exclude_positions}; "
            "lower --exclude-positions"
        )
    batch_size = options.batch_size
    check_memory(predicted_bytes(model, corpus, consumers, batch_size), options.max_memory_gb, label)
    with process_group(model.device):
        mine = corpus.shard(rank(), world_size()) if world_size() > 1 else corpus
        done = _restore(checkpoint, model, consumers, corpus, batch_size)
        tokens = _walk(model, mine, consumers, batch_size, options.exclude_positions, checkpoint, done, label)
        if world_size() > 1:
            for consumer in consumers:
                if not hasattr(consumer, "reduce"):
                    raise UserError(f"{type(consumer).__name__} cannot be merged over processes; run it in one process")
                consumer.reduce()  # type: ignore[attr-defined]
    if checkpoint is not None:
        remove(checkpoint.file)
    return tokens


def check_memory(needed: int, limit_gb: float | None, label: str) -> None:
    """Say what a pass will need, and refuse it before it starts where that is more than the limit."""
    if limit_gb is None:
        return
    say(f"{label}: predicted peak memory beyond the model {needed / GIGABYTE:.2f} GB (limit {limit_gb:g} GB)")
    if needed > limit_gb * GIGABYTE:
        raise UserError(
            f"expected at most {limit_gb:g} GB beyond the model, {needed / GIGABYTE:.2f} GB would be needed; "
            "lower --batch-size, take fewer --sites or --layers, or raise --max-memory-gb"
        )


def _walk(
    model: ActivationSource,
    corpus: Corpus,
    consumers: Sequence[Consumer],
    batch_size: int,
    exclude_positions: int,
    checkpoint: Checkpoint | None,
    done: int,
    label: str,
) -> int:
    sites = _sites(consumers)
    tokens, saved = 0, time.monotonic()
    with progress_bar(label=label, total=int(corpus.mask.sum()), unit="tok") as bar:
        for number, batch in enumerate(corpus.batches(batch_size)):
            count = int(batch.mask.sum())
            bar.update(count)
            tokens += count
            if number < done:
                continue
            _feed(model, consumers, sites, batch, number, keep_mask(batch, exclude_positions).to(model.device))
            if checkpoint is not None and time.monotonic() - saved > checkpoint.every_seconds:
                _save(checkpoint, model, consumers, corpus, batch_size, number + 1)
                saved = time.monotonic()
    return tokens


def _feed(
    model: ActivationSource,
    consumers: Sequence[Consumer],
    sites: Sequence[Site],
    batch: Batch,
    number: int,
    keep: Bool[Tensor, "batch position"],
) -> None:
    """One batch through the model: site by site for those who take it so, then all sites for the others."""
    at_once = [consumer for consumer in consumers if not _per_site(consumer)]
    wanted = {site.hook for site in _sites(at_once)}
    takers = {
        site.hook: [c for c in consumers if _per_site(c) and site.hook in {own.hook for own in c.sites}]
        for site in sites
    }
    held: dict[str, Tensor] = {}

    def receive(hook: str, activation: Tensor) -> None:
        check_finite({hook: activation}, number)
        for consumer in takers[hook]:
            consumer.update({hook: activation}, batch, keep)
        if hook in wanted:
            held[hook] = activation

    model.stream_batch(batch, sites, receive)
    for consumer in at_once:
        consumer.update(held, batch, keep)


def check_finite(activations: Mapping[str, Tensor], batch_number: int) -> None:
    """Raise a `UserError` that names site and batch where an activation is NaN or infinite."""
    for hook, activation in activations.items():
        if not bool(torch.isfinite(activation.sum(dtype=torch.float32))) and not bool(torch.isfinite(activation).all()):
            raise UserError(
                f"expected finite activations, got NaN or infinity at {hook} in batch {batch_number}; "
                "check the weights, or use --dtype float32"
            )


def _fingerprint(model: ActivationSource, corpus: Corpus, batch_size: int, consumers: Sequence[Consumer]) -> str:
    """What a half-finished pass must share with the one that continues it: weights, tokens, batches, code of both."""
    code = code_of([__name__, *(type(consumer).__module__ for consumer in consumers)])
    tokens = corpus.describe()["sha256_of_tokens"]
    return f"{model.weights_sha256}/{tokens}/{batch_size}/{world_size()}/{code}"


def _save(
    checkpoint: Checkpoint,
    model: ActivationSource,
    consumers: Sequence[Consumer],
    corpus: Corpus,
    batch_size: int,
    done: int,
) -> None:
    arrays: dict[str, Any] = {"done": done, "fingerprint": _fingerprint(model, corpus, batch_size, consumers)}
    for number, consumer in enumerate(consumers):
        if not hasattr(consumer, "state"):
            return
        arrays |= {f"{number}/{key}": value for key, value in consumer.state().items()}  # type: ignore[attr-defined]
    with sealed_path(checkpoint.file) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **arrays)


def _restore(
    checkpoint: Checkpoint | None,
    model: ActivationSource,
    consumers: Sequence[Consumer],
    corpus: Corpus,
    batch_size: int,
) -> int:
    """Batches already done according to the checkpoint (0 without one, or where it belongs to another pass)."""
    if checkpoint is None or not is_readable(checkpoint.file):
        return 0
    with np.load(checkpoint.file, allow_pickle=False) as data:
        mine = corpus.shard(rank(), world_size()) if world_size() > 1 else corpus
        if str(data["fingerprint"]) != _fingerprint(model, mine, batch_size, consumers):
            return 0
        for number, consumer in enumerate(consumers):
            prefix = f"{number}/"
            state = {key.removeprefix(prefix): data[key] for key in data.files if key.startswith(prefix)}
            consumer.load(state)  # type: ignore[attr-defined]
        say(f"continuing at batch {int(data['done'])} of the interrupted pass")
        return int(data["done"])
