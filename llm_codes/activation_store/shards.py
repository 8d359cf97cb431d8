"""One shard of a store: written sealed, read by rows, its hash and shapes checked before anything is read from it.

Axes: row (a token position), width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.files import content_hash, is_intact, read_seal, sealed_path, set_aside
from eval.progress import say
from llm_codes.activation_store.layout import COLUMNS, Shard
from llm_codes.sites import Site

DTYPE_OF = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SAFETENSORS_OF = {"float32": "F32", "bfloat16": "BF16"}
OPEN_FILES = 16


@dataclass(frozen=True)
class Rows:
    """What a shard holds: columns [row] by name (`layout.COLUMNS`) and activations [row width] by hook name."""

    columns: Mapping[str, np.ndarray]
    activations: Mapping[str, Tensor]


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


def write_shard(path: Path, rows: Rows, *, plan: str = "") -> Shard:
    """Write one shard whole or not at all, with a seal that states its hash and the plan it belongs to."""
    from safetensors.torch import save_file

    tensors = {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in rows.columns.items()}
    tensors |= {hook: values.contiguous() for hook, values in rows.activations.items()}
    with sealed_path(path, plan=plan) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    return described(path)


def described(path: Path) -> Shard:
    """The manifest's line of a shard whose seal is good."""
    sealed = read_seal(path)
    if sealed is None:
        raise UserError(f"expected {path} to have its seal; got none; harvest again")
    with _file(path) as file:
        windows = file.get_tensor("window").numpy()
    return Shard(path.name, str(sealed["sha256"]), len(windows), len(np.unique(windows)))


def finished(path: Path, plan: str) -> bool:
    """Whether a shard of this plan is there and whole; any other is named and set aside."""
    if not path.exists():
        return False
    if not is_intact(path):
        name = set_aside(path, ".damaged").name
        say(f"warning: {path} is damaged, or has no seal: set aside as {name}, written again")
        return False
    if (read_seal(path) or {}).get("plan") != plan:
        name = set_aside(path, ".stale").name
        say(f"warning: {path} holds activations of other weights, text or sites: set aside as {name}, written again")
        return False
    return True


def check_shard(folder: Path, shard: Shard, sites: Sequence[Site], dtype: str) -> None:
    """The file is, byte for byte, what the manifest was written for, and holds every site.

    Raises:
        UserError: it is missing, was replaced, cut short or damaged; its tensors are others.
    """
    path = folder / shard.file
    if Path(shard.file).name != shard.file:
        raise UserError(f"expected shards beside store.json; got {shard.file}; put them into {folder}")
    if not path.is_file():
        raise UserError(f"expected {shard.file} in {folder}; it is missing; restore it, or harvest again")
    found = content_hash(path)
    if found != shard.sha256:
        raise UserError(
            f"expected {path} as the manifest knows it (content {shard.sha256[:12]}); it was replaced or damaged "
            f"(content {found[:12]}); restore it, or harvest again"
        )
    _check_tensors(path, sites, dtype)


def _check_tensors(path: Path, sites: Sequence[Site], dtype: str) -> None:
    from safetensors import SafetensorError

    try:
        with _file(path) as file:
            shapes = {name: (s := file.get_slice(name), s.get_shape(), s.get_dtype())[1:] for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"expected {path} to be a safetensors file; got {error}; write it again") from error
    n_rows = shapes.get("position", ([0], ""))[0][0]
    for name in ("document", "position"):
        if name not in shapes:
            raise UserError(f"expected a column {name!r} in {path}; got {', '.join(sorted(shapes))}; add it")
    for name in set(COLUMNS) & shapes.keys():
        if shapes[name][0] != [n_rows]:
            raise UserError(f"expected {name!r} of {path} to hold {n_rows} rows; got {shapes[name][0]}; mend it")
    for site in sites:
        wanted = ([n_rows, site.width], SAFETENSORS_OF[dtype])
        if shapes.get(site.hook) != wanted:
            raise UserError(f"expected {site.hook} of {path} as {wanted}; got {shapes.get(site.hook)}; mend store.json")


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of a shard, those it has."""
    with _file(path) as file:
        there = set(file.keys())
        return {name: file.get_tensor(name).numpy() for name in COLUMNS if name in there}


def read_rows(folder: Path, shard: Shard, hook: str, first: int, stop: int) -> Float[Tensor, "row width"]:
    """Some rows of one site, as float32; nothing else of the file is read."""
    return _open(folder / shard.file, shard.sha256).get_slice(hook)[first:stop].float()


def _file(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, "pt")


@lru_cache(maxsize=OPEN_FILES)
def _open(path: Path, sha256: str) -> Any:
    """An open shard, known by its content: a file written anew under the same name is another."""
    return _file(path).__enter__()
