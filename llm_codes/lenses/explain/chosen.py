"""Units chosen one by one: `from llm_codes import units`, or `--units neuron:3:117,sae:DIR:16`.

    units.neuron(17, layer=2)
    units.direction(vector, site="mlp_post", layer=2, name="probe")
    units.function(lambda x: x[..., :10].amax(-1), site="mlp_post", layer=2, name="max of ten")
    units.feature(851, load_dictionary("embedded", site="mlp_out", layer=3))

A unit's identity holds the content of what reads it: the vector's, the code's, the dictionary's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError
from eval.explanation.units import NamedUnit, Unit
from llm_codes.lenses.explain.unit_sources.dictionary_units import (
    CONTENT_DIGITS,
    content_of,
    open_dictionary,
    sae_folders,
)
from llm_codes.lenses.explain.units import Readout, SiteMoments, centred
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site

__all__ = ["Chosen", "direction", "feature", "function", "neuron"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A unit somebody asked for. site, layer: where it is read. vector: of a direction. read: activations to values.
    decoder: what a feature writes at its site."""

    kind: str
    index: int
    site: str
    layer: int | None = None
    source: str = ""
    content: str = ""
    vector: Tensor | None = None
    read: Callable[[Tensor], Tensor] | None = None
    decoder: Tensor | None = None


def neuron(index: int, *, layer: int, site: str = "mlp_post") -> Chosen:
    """One coordinate of a site."""
    return Chosen("neuron", int(index), site, layer)


def direction(vector: Any, *, site: str, layer: int, name: str) -> Chosen:
    """A direction at a site, centred and signed as random projections are (`eval.explanation.units`)."""
    values = torch.as_tensor(vector).detach().cpu().to(torch.float64)
    return Chosen("direction", 0, site, layer, name, _digest(values.numpy().tobytes()), vector=values)


def function(read: Callable[[Tensor], Tensor], *, site: str, layer: int, name: str) -> Chosen:
    """Any function of the activations [batch, position, width] to [batch, position]; its positive part is the unit."""
    code = getattr(read, "__code__", None)
    content = _digest(code.co_code + repr(code.co_consts).encode()) if code is not None else ""
    return Chosen("function", 0, site, layer, name, content, read=read)


def feature(index: int, dictionary: Any) -> Chosen:
    """One feature of a dictionary (`load_dictionary`, or any object with `encode`, `n_features`, `hook` and `name`).

    Raises `UserError` for a feature it does not have.
    """
    if not 0 <= index < dictionary.n_features:
        raise UserError(f"expected a feature in 0..{dictionary.n_features - 1} of {dictionary.name}, got {index}")

    def read(x: Tensor) -> Tensor:
        found = dictionary.encode(x.flatten(0, -2))[:, index]
        return found.reshape(x.shape[:-1]).float()

    vectors = dictionary.vectors.detach().cpu().float()
    elsewhere = getattr(dictionary, "is_transcoder", False)  # it writes at another site than it reads
    return Chosen(
        "sae",
        int(index),
        dictionary.hook,
        None,
        str(dictionary.name),
        _digest(vectors.numpy().tobytes()),
        read=read,
        decoder=None if elsewhere else vectors[index],
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:CONTENT_DIGITS]


def from_names(model: Model, named: Sequence[NamedUnit], site: str) -> list[Chosen]:
    """Units named on the command line. site: where neurons are read.

    Raises `UserError` for a folder with several dictionaries, and a feature that its dictionary does not have.
    """
    out = []
    for one in named:
        if one.kind == "neuron":
            out.append(neuron(one.index, layer=one.layer, site=site))
            continue
        folders = sae_folders(one.source)
        if len(folders) > 1:
            names = ", ".join(str(folder) for folder in folders[:4])
            raise UserError(f"expected one dictionary in {one.source}, got {len(folders)}; name one of {names}")
        out.append(_feature_of_folder(model, one, folders[0]))
    return out


def _feature_of_folder(model: Model, one: NamedUnit, folder: Any) -> Chosen:
    found = open_dictionary(model, folder)
    sae = found.sae
    if not one.index < sae.cfg.d_sae:
        raise UserError(f"expected a feature in 0..{sae.cfg.d_sae - 1} of {one.source}, got {one.index}")

    def read(x: Tensor) -> Tensor:
        return sae.encode(x.to(sae.W_enc.dtype))[..., one.index].float()

    decoder = None if hasattr(sae.cfg, "d_out") else sae.W_dec[one.index].detach().float().cpu()
    return Chosen("sae", one.index, found.site.hook, None, one.source, content_of(folder), read=read, decoder=decoder)


def sites_of(model: Model, chosen: Sequence[Chosen]) -> list[Site]:
    """Where they are read, each once; a neuron or vector that does not fit its site is refused."""
    out = []
    for one in chosen:
        site = resolve_site(model, one.site, one.layer)
        if one.kind == "neuron" and not 0 <= one.index < site.width:
            raise UserError(f"expected a neuron in 0..{site.width - 1} at {site.name}, got {one.index}")
        if one.vector is not None and tuple(one.vector.shape) != (site.width,):
            raise UserError(
                f"expected a vector of {site.width} numbers for {one.source!r} at {site.name}, got shape "
                f"{tuple(one.vector.shape)}; give one that fits, or another site"
            )
        out.append(site)
    return list(dict.fromkeys(out))


def chosen_readouts(model: Model, chosen: Sequence[Chosen], moments: SiteMoments) -> list[Readout]:
    """A readout for each unit; the second unit of one name gets the next index."""
    out: list[Readout] = []
    seen: dict[str, int] = {}
    for one in chosen:
        site = resolve_site(model, one.site, one.layer)
        unit = Unit(one.kind, site.layer, one.index, site.hook, one.source, one.content)
        before = seen.get(unit.name, 0)
        seen[unit.name] = before + 1
        if before and one.kind in ("neuron", "sae"):
            raise UserError(f"{unit.name} stands twice among the units; name it once")
        unit = replace(unit, index=one.index + before)
        if one.vector is not None:
            out.append(centred(Readout(site, (unit,), lambda x: x, one.vector[:, None]), moments))
        else:
            decoder = None if one.decoder is None else one.decoder[None]
            out.append(Readout(site, (unit,), _reader(one), decoder=decoder))
    return out


def _reader(one: Chosen) -> Callable[[Tensor], Tensor]:
    @torch.no_grad()
    def read(x: Tensor) -> Tensor:
        if one.read is None:
            return x[..., one.index, None].relu()
        value = one.read(x)
        if value.shape != x.shape[:-1]:
            raise UserError(
                f"expected the function {one.source!r} to turn activations {tuple(x.shape)} into "
                f"{tuple(x.shape[:-1])}, got {tuple(value.shape)}; reduce the last axis"
            )
        return value.float().relu()[..., None]

    return read
