"""A model's activations written to a store, shard by shard: a killed run goes on, nothing is lost or doubled.

A shard is a function of its number: windows `n * w` to `(n + 1) * w` of the corpus. A finished one lies under its name
with a seal (content hash, and the plan it belongs to: weights, tokens, sites, dtype); a continuation writes what is not
there, not whole, or of another plan, and the manifest last. Axes: row (a position before the padding), width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.files import remove
from eval.progress import progress_bar, say
from llm_codes.activation_source import order_of
from llm_codes.activation_store.forecast import Forecast, check_fits_disk, forecast
from llm_codes.activation_store.layout import DTYPES, MANIFEST, Manifest, Shard
from llm_codes.activation_store.shards import DTYPE_OF, Rows, described, finished, shard_name, write_shard
from llm_codes.activation_store.writing import joined
from llm_codes.configs.harvest import StoreOptions
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.harvest import check_finite, check_memory
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_sites
from llm_codes.windows import Batch, Corpus


def harvest_activations(
    model: Model,
    corpus: Corpus,
    folder: str | Path,
    options: StoreOptions | None = None,
    *,
    harvest_options: HarvestOptions | None = None,
    dictionary: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write (or go on writing) the activations of a corpus at some sites; returns the manifest.

    Args:
        options: sites, layers, dtype, size of a shard, limit. harvest_options: batch size, memory limit; no position is
            left out, that is for those who read.
        dictionary: what a dictionary trained from the store shall say of its model.

    Raises:
        UserError: before anything runs: windows longer than the model's context, a store above `max_store_gb` or the
            free disk, more memory than the limit. Later: activations that are not finite (site and batch are named).
    """
    folder, asked, walk = Path(folder), options or StoreOptions(), harvest_options or HarvestOptions()
    if corpus.context > model.context:
        raise UserError(f"windows of {corpus.context} tokens exceed the context of {model.name} ({model.context})")
    sites, dtype = _in_order(model, resolve_sites(model, asked.sites, asked.layers)), dtype_of(model, asked.store_dtype)
    planned = forecast(corpus, sites, dtype, asked.shard_mb)
    check_fits_disk(planned, folder, asked.max_store_gb, len(sites))
    check_memory(_memory(model, corpus, sites, planned, walk.batch_size), walk.max_memory_gb, "harvest")
    shards = _write_shards(model, corpus, sites, dtype, folder, planned, walk.batch_size)
    filled = corpus.lengths < corpus.context
    padding = int(corpus.tokens[filled.argmax(), -1]) if filled.any() else 0
    manifest = Manifest(
        dtype, tuple(sites), shards, model.provenance(), corpus.describe(), corpus.documents,
        corpus.context, corpus.prepend_bos, padding, dict(dictionary or {}),
    )  # fmt: skip
    manifest.write(folder)
    return manifest


def dtype_of(model: Model, asked: str) -> str:
    """`auto` is bfloat16 for weights in bfloat16 and float32 for all others."""
    if asked != "auto":
        return asked
    own = str(model.dtype).removeprefix("torch.")
    return own if own in DTYPES else "float32"


def _in_order(model: Model, sites: Sequence[Site]) -> list[Site]:
    order = order_of(model, [site.hook for site in sites])
    return sorted(sites, key=lambda site: order.index(site.hook))


def _memory(model: Model, corpus: Corpus, sites: Sequence[Site], planned: Forecast, batch_size: int) -> int:
    """A shard twice (its batches, and joined), one batch at every site as the model gives it, one forward pass."""
    element = torch.finfo(model.dtype).bits // 8
    batch = batch_size * corpus.context * sum(site.width for site in sites)
    return 2 * planned.shard_bytes + element * (batch + model.numbers_alive(batch_size, corpus.context))


def plan_of(model: Model, corpus: Corpus, sites: Sequence[Site], dtype: str, windows_per_shard: int) -> str:
    """What every shard of a store shares: weights, tokens, sites, dtype, and how windows are dealt out."""
    text = corpus.describe()["sha256_of_tokens"]
    documents = hashlib.sha256(corpus.document.tobytes()).hexdigest()
    hooks = [[site.hook, site.width] for site in sites]
    plan = [model.weights_sha256, model.processing, text, documents, hooks, dtype, windows_per_shard]
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()


def _write_shards(
    model: Model,
    corpus: Corpus,
    sites: Sequence[Site],
    dtype: str,
    folder: Path,
    planned: Forecast,
    batch_size: int,
) -> tuple[Shard, ...]:
    plan = plan_of(model, corpus, sites, dtype, planned.windows_per_shard)
    shards, found = [], 0
    with progress_bar(label="harvest", total=planned.rows, unit="tok") as bar:
        for number in range(planned.shards):
            first = number * planned.windows_per_shard
            part = corpus.select(np.arange(first, min(first + planned.windows_per_shard, len(corpus))))
            path = folder / shard_name(number)
            if finished(path, plan):
                shards.append(described(path))
                found += 1
            else:
                remove(folder / MANIFEST)
                shards.append(write_shard(path, _rows(model, part, sites, dtype, batch_size, number), plan=plan))
            bar.update(int(part.lengths.sum()))
    if found:
        say(f"{found} of {planned.shards} shards were there and whole")
    _set_others_aside(folder, planned.shards)
    return tuple(shards)


def _set_others_aside(folder: Path, count: int) -> None:
    """A shard beyond the last is of no plan: it is set aside by name, never counted."""
    ours = {shard_name(number) for number in range(count)}
    for path in sorted(folder.glob("shard-*.safetensors")):
        if path.name not in ours:
            finished(path, "")


def _rows(model: Model, part: Corpus, sites: Sequence[Site], dtype: str, batch_size: int, number: int) -> Rows:
    """The rows of some windows, in order: every position before the padding."""
    blocks, done = [], 0
    for batch in part.batches(batch_size):
        here = part.select(np.arange(done, done + len(batch.window)))
        blocks.append(_of_batch(model, batch, here, sites, dtype, number))
        done += len(batch.window)
    return joined(blocks)


def _of_batch(model: Model, batch: Batch, windows: Corpus, sites: Sequence[Site], dtype: str, number: int) -> Rows:
    filled = np.arange(batch.tokens.shape[1]) < windows.lengths[:, None]
    chosen = torch.from_numpy(filled)
    kept: dict[str, Tensor] = {}

    def receive(hook: str, activation: Tensor) -> None:
        check_finite({hook: activation}, number)
        kept[hook] = activation[chosen.to(activation.device)].to(DTYPE_OF[dtype]).cpu()

    model.stream_batch(batch, [site.hook for site in sites], receive)
    window, position = np.nonzero(filled)
    columns = {
        "document": batch.document.numpy()[window],
        "position": position,
        "token": batch.tokens.numpy()[filled],
        "window": batch.window.numpy()[window],
        "start": windows.start[window],
    }
    counted = {name: column.astype(np.int32) for name, column in columns.items()}
    return Rows({**counted, "counts": batch.mask.numpy()[filled]}, {site.hook: kept[site.hook] for site in sites})
