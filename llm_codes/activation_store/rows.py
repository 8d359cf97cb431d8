"""`results.json` of `harvest`: what is in the store."""

from __future__ import annotations

from eval.results import Result, result


@result
class StoredSite(Result):
    """One site of a store: width of an activation, gigabytes of all of them."""

    site: str
    hook: str
    width: int
    size_gb: float


@result
class StoredShard(Result):
    """One file of a store: its content and how many rows (token positions) it holds."""

    file: str
    sha256: str
    rows: int


@result
class StoredActivations(Result):
    """A finished store: `n_rows` positions at every site, in `dtype`; `sha256`: its content, every byte of it."""

    table = "sites"

    sites: tuple[StoredSite, ...]
    shards: tuple[StoredShard, ...]
    dtype: str
    n_rows: int
    sha256: str
