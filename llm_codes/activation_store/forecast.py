"""How large will a store be, and does it fit? Said before anything runs; refused where it does not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.errors import UserError
from eval.progress import say
from llm_codes.activation_store.writing import row_bytes
from llm_codes.harvest import GIGABYTE
from llm_codes.sites import Site
from llm_codes.windows import Corpus

HEADER_BYTES = 4096  # of a shard and its seal


@dataclass(frozen=True)
class Forecast:
    """rows, shards: how many there will be. windows_per_shard: windows in each but the last. n_bytes: of them all."""

    rows: int
    shards: int
    windows_per_shard: int
    n_bytes: int

    @property
    def shard_bytes(self) -> int:
        """Of the largest shard, as far as its rows are full."""
        return self.n_bytes // max(1, self.shards)


def forecast(corpus: Corpus, sites: Sequence[Site], dtype: str, shard_mb: float) -> Forecast:
    """The size of the store of a corpus: every position before the padding, at every site."""
    each, rows = row_bytes(sites, dtype), int(corpus.lengths.sum())
    per_shard = max(1, int(shard_mb * 2**20 / (each * corpus.context)))
    shards = -(-len(corpus) // per_shard)
    return Forecast(rows, shards, per_shard, rows * each + shards * HEADER_BYTES)


def check_fits_disk(planned: Forecast, folder: Path, limit_gb: float | None, n_sites: int) -> None:
    """Say what the store will take.

    Raises:
        UserError: more than `limit_gb`, or than the disk has free beside the shards that are there.
    """
    there = sum(path.stat().st_size for path in folder.glob("shard-*.safetensors"))
    free = shutil.disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists())).free
    size, left = planned.n_bytes / GIGABYTE, max(0, planned.n_bytes - there)
    limit = "no limit" if limit_gb is None else f"limit {limit_gb:g} GB"
    say(
        f"harvest: {planned.rows:,} positions at {n_sites} sites will take {size:.3g} GB in {planned.shards} shards "
        f"({limit}, {free / GIGABYTE:.3g} GB free)"
    )
    if limit_gb is not None and size > limit_gb:
        raise UserError(
            f"expected a store of at most {limit_gb:g} GB; {size:.3g} GB would be written; lower --tokens, take fewer "
            "--sites or --layers or --store-dtype bfloat16, or raise --max-store-gb"
        )
    if left > free:
        raise UserError(
            f"expected {left / GIGABYTE:.3g} GB free at {folder}; got {free / GIGABYTE:.3g} GB; lower --tokens, take "
            "fewer --sites or --layers, or choose another --store"
        )
