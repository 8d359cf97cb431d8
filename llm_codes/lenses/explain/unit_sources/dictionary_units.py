"""Features of sparse autoencoders as units: which dictionaries a source holds, and what tells them apart.

A source is what the user named (`sae:DIR`). One dictionary a layer makes one family, averaged by layer. Where a source
holds more (two sites, or two dictionaries at one site), each is a family of its own: its site, or its folder, follows
the source's name. The content of a dictionary is the hash of its weights file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.errors import UserError, nearest
from eval.explanation.units import Unit, parse_units
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.explain.unit_sources.drawing import drawn
from llm_codes.lenses.explain.units import Readout
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site
from llm_codes.weight_processing import steps_of_metadata

CONTENT_DIGITS = 16


@dataclass(frozen=True)
class Found:
    """An open dictionary: its folder, the SAELens object, the site it reads."""

    folder: Path
    sae: Any
    site: Site


def sae_folders(folder: str) -> list[Path]:
    """The SAELens folders under a path: itself, or every folder below it that holds a ``cfg.json``."""
    path = Path(folder)
    found = [path] if (path / "cfg.json").is_file() else sorted(config.parent for config in path.glob("**/cfg.json"))
    if not found:
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(
            f"expected an SAELens folder (cfg.json, sae_weights.safetensors) at {folder}, found none; "
            f"{nearest(path.name, beside) or 'check the path'}"
        )
    return found


def dictionary_readouts(
    model: Model, source: str, count: int, seed: int, explain_part: Corpus | None = None, **how: Any
) -> list[Readout]:
    """Features of every dictionary of a source: a random sample of ``count`` of each.

    explain_part: windows on which a feature that is drawn must fire (``None``: dead ones count as any), walked once
    (how: as `harvest`'s options say).
    Raises ``UserError`` for a folder without one, an SAE of another width, an unknown hook, or one that expects
    weights processed otherwise.
    """
    found = [open_dictionary(model, folder) for folder in sae_folders(source)]
    names = source_names(source, found)
    live = [None] * len(found) if explain_part is None else _firing(model, found, explain_part, **how)
    return [_readout(one, name, count, seed, fires) for one, name, fires in zip(found, names, live, strict=True)]


class _FiringFeatures:
    """A consumer for `harvest`: which features of a dictionary fire anywhere."""

    def __init__(self, found: Found) -> None:
        self.found, self.sites = found, (found.site,)
        self.fires = torch.zeros(found.sae.cfg.d_sae, dtype=torch.bool)

    @torch.no_grad()
    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        sae = self.found.sae
        x = activations[self.found.site.hook][keep]
        self.fires |= (sae.encode(x.to(sae.W_enc.dtype)) > 0).any(0).cpu()


def _firing(model: Model, found: Sequence[Found], corpus: Corpus, **how: Any) -> list[np.ndarray]:
    consumers = [_FiringFeatures(one) for one in found]
    harvest(model, corpus, consumers, label="live features", **how)
    return [consumer.fires.numpy() for consumer in consumers]


def open_dictionary(model: Model, folder: Path) -> Found:
    """An SAELens folder, checked against the model."""
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder, device=model.device)
    metadata = sae.cfg.metadata
    site = resolve_site(model, str(getattr(metadata, "hook_name", None)))
    if sae.cfg.d_in != site.width:
        raise UserError(
            f"sae.d_in={sae.cfg.d_in} but activations at {site.hook} are {site.width} wide; "
            "was this SAE trained on another model?"
        )
    expected = steps_of_metadata(metadata.to_dict())
    if expected != model.processing:
        raise UserError(
            f"the SAE in {folder} expects weights processed as {','.join(expected) or 'raw'}; {model.name} has "
            f"{','.join(model.processing) or 'raw'}; set --processing {','.join(expected) or 'raw'}"
        )
    return Found(folder, sae, site)


def source_names(source: str, found: Sequence[Found]) -> list[str]:
    """The name of each dictionary's family: the source, with its site or folder where the source alone is no name."""
    kinds = {one.site.kind for one in found}
    places = Counter(one.site.name for one in found)
    names = []
    for one in found:
        name = source if len(kinds) == 1 else f"{source}@{one.site.kind}"
        if places[one.site.name] > 1:
            name = f"{name}/{one.folder.relative_to(source).as_posix()}"
        names.append(name)
    return names


def content_of(folder: Path) -> str:
    """Hash of a dictionary's weights and configuration: two folders with one content hold the same units."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), folder / "cfg.json"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:CONTENT_DIGITS]


def source_contents(units: Sequence[str]) -> dict[str, str]:
    """Content of every dictionary among the units, as inputs of a run: with other weights its items are stale."""
    kinds, named = parse_units(units) if units else ([], [])
    sources = [
        *(source for kind, source in kinds if kind == "sae"),
        *(one.source for one in named if one.kind == "sae"),
    ]
    return {f"sae:{folder}": content_of(folder) for source in sources for folder in sae_folders(source)}


def _readout(found: Found, source: str, count: int, seed: int, live: np.ndarray | None) -> Readout:
    sae, site = found.sae, found.site
    index, silent = drawn(sae.cfg.d_sae, min(count, sae.cfg.d_sae), [seed, 2, site.layer], live)
    content = content_of(found.folder)
    units = tuple(Unit("sae", site.layer, int(i), site.hook, source, content) for i in index)
    chosen = torch.as_tensor(index)

    @torch.no_grad()
    def read(x: Tensor) -> Tensor:
        return sae.encode(x.to(sae.W_enc.dtype))[..., chosen].float().relu()

    elsewhere = hasattr(sae.cfg, "d_out")  # a transcoder writes at another site than it reads
    decoder = None if elsewhere else sae.W_dec[chosen].detach().float().cpu()
    return Readout(site, units, read, decoder=decoder, passed_over=silent)
