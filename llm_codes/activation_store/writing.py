"""Writing a store from windows of activations, wherever they come from; never more than one shard is held.

Axes: position, width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError, known_name
from llm_codes.activation_store.layout import COLUMN_BYTES, COLUMNS, DTYPES, ELEMENT_BYTES, OTHER, Manifest, Shard
from llm_codes.activation_store.shards import DTYPE_OF, Rows, shard_name, write_shard
from llm_codes.sites import Site, layer_of_hook


@dataclass(frozen=True)
class StoredWindow:
    """One sequence that a model read, and its activations.

    activations: arrays or tensors [position width] by hook name, in the order of the computation.
    tokens: token ids [position]. document: its name or number (default: each window is a document of its own); what is
    resampled for intervals. first_position: the place of the first row in the model's context.
    """

    activations: Mapping[str, Any]
    tokens: Any = None
    document: str | int | None = None
    first_position: int = 0


def write_store(
    folder: Path,
    windows: Iterable[StoredWindow],
    *,
    model: Mapping[str, Any],
    dtype: str,
    prepend_bos: bool,
    shard_bytes: int,
) -> Manifest:
    """Write every window, shard by shard, and the manifest last; see `ActivationStore.write`."""
    known_name(dtype, DTYPES, "dtype of a store")
    if folder.is_dir() and (there := next(folder.iterdir(), None)) is not None:
        raise UserError(f"expected an empty folder for a store; {folder} holds {there.name}; choose another")
    sites: tuple[Site, ...] = ()
    documents: dict[str, int] = {}
    shards: list[Shard] = []
    waiting: list[Rows] = []
    held, highest = 0, 0
    for number, window in enumerate(windows):
        sites = sites or _sites(window)
        rows = _rows(window, number, sites, documents, dtype)
        highest = max(highest, int(rows.columns["position"][-1]) + 1)
        waiting.append(rows)
        held += len(rows.columns["position"]) * row_bytes(sites, dtype)
        if held >= shard_bytes:
            shards.append(write_shard(folder / shard_name(len(shards)), joined(waiting)))
            waiting, held = [], 0
    if waiting:
        shards.append(write_shard(folder / shard_name(len(shards)), joined(waiting)))
    if not shards:
        raise UserError("expected at least one window of activations to write; got none")
    names = tuple(documents)
    manifest = Manifest(dtype, sites, tuple(shards), dict(model), {}, names, highest, prepend_bos)
    manifest.write(folder)
    return manifest


def row_bytes(sites: Sequence[Site], dtype: str) -> int:
    """Bytes of one row on disk."""
    return COLUMN_BYTES + ELEMENT_BYTES[dtype] * sum(site.width for site in sites)


def joined(parts: Sequence[Rows]) -> Rows:
    """Several blocks of rows as one."""
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    hooks = parts[0].activations
    return Rows(columns, {hook: torch.cat([part.activations[hook] for part in parts]) for hook in hooks})


def _sites(window: StoredWindow) -> tuple[Site, ...]:
    """The sites of a store, read off its first window."""
    if not window.activations:
        raise UserError("expected activations at one site at least; got none; pass {hook name: array [position width]}")
    found = []
    for hook, values in window.activations.items():
        if hook in COLUMNS:
            raise UserError(f"expected hook names that are no column of a store; got {hook!r}; rename it")
        if getattr(values, "ndim", 0) != 2:
            shape = tuple(getattr(values, "shape", ()))
            raise UserError(f"expected activations [position width] at {hook}; got shape {shape}; give one row a token")
        found.append(Site(hook, hook, layer_of_hook(hook), int(values.shape[1]), OTHER))
    return tuple(found)


def _rows(window: StoredWindow, number: int, sites: Sequence[Site], documents: dict[str, int], dtype: str) -> Rows:
    """The rows of one window.

    Raises:
        UserError: sites, widths or lengths that differ, no row, NaN or infinity.
    """
    where = f"window {number}"
    if set(window.activations) != {site.hook for site in sites}:
        raise UserError(
            f"expected the sites of window 0 ({', '.join(site.hook for site in sites)}); got "
            f"{', '.join(window.activations) or 'none'} in {where}; give every window the same"
        )
    n_rows = len(next(iter(window.activations.values())))
    activations = {site.hook: _checked(window.activations[site.hook], n_rows, site, dtype, where) for site in sites}
    tokens = np.zeros(n_rows) if window.tokens is None else np.asarray(window.tokens)
    if tokens.shape != (n_rows,):
        raise UserError(f"expected {n_rows} token ids for {where}; got shape {tokens.shape}; give one a position")
    name = f"window {number}" if window.document is None else str(window.document)
    document = documents.setdefault(name, len(documents))
    position = np.arange(window.first_position, window.first_position + n_rows)
    columns = {"document": np.full(n_rows, document), "position": position, "token": tokens}
    columns |= {"window": np.full(n_rows, number), "start": np.zeros(n_rows)}
    counted = {name: column.astype(np.int32) for name, column in columns.items()}
    return Rows(
        {**counted, "counts": np.ones(n_rows, dtype=bool)},
        activations,
    )


def _checked(values: Any, n_rows: int, site: Site, dtype: str, where: str) -> Float[Tensor, "position width"]:
    found = torch.as_tensor(values).detach().cpu()
    if tuple(found.shape) != (n_rows, site.width) or not n_rows:
        raise UserError(
            f"expected activations [{n_rows or 'position'}, {site.width}] at {site.hook} in {where}; got "
            f"{list(found.shape)}; give every window rows of one width"
        )
    found = found.to(DTYPE_OF[dtype])
    if not bool(torch.isfinite(found).all()):
        raise UserError(f"expected finite activations; got NaN or infinity at {site.hook} in {where}; check the model")
    return found
