"""One forward pass over images feeds any number of consumers at the ReLU sites of a network.

Axis glossary: ``image``, ``width`` units of a site (channels x height x width, flattened in this order).

The network runs in eval mode: dropout off, BatchNorm at its running statistics. A site is the output of a ReLU, before
its dropout.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eval.errors import UserError, known_name
from eval.progress import progress_bar
from vision_codes.image_batches import prepare
from vision_codes.resnet_vae import ResNetVAE

Injection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Site:
    """One ReLU. name: as in ``ResNetVAE.relu_sites``. layer: its depth, 1 to 17. shape: (channel, height, width)."""

    name: str
    layer: int
    shape: tuple[int, int, int]

    @property
    def width(self) -> int:
        return int(np.prod(self.shape))


class Consumer(Protocol):
    """What ``harvest`` feeds: one site's activations, batch by batch."""

    site: Site

    def update(self, activations: Float[Tensor, "image width"]) -> None: ...


@contextmanager
def hooks(model: ResNetVAE, names: Sequence[str], inject: Mapping[str, Injection] | None = None) -> Iterator[dict]:
    """Record the outputs of sites (by name, unflattened) during the block; ``inject`` replaces outputs on their way."""
    modules, found, handles = model.relu_sites(), {}, []

    def keep(name: str, module: torch.nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if inject and name in inject:
            output = inject[name](output)
        found[name] = output
        return output

    try:
        for name in dict.fromkeys([*names, *(inject or ())]):
            known_name(name, modules, "site")
            handles.append(modules[name].register_forward_hook(functools.partial(keep, name)))
        yield found
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def sites(model: ResNetVAE, names: Sequence[str] = ()) -> tuple[Site, ...]:
    """The named ReLU sites (all 17 where none is named), with their shapes.

    Raises:
        UserError: an unknown site, with the nearest names.
    """
    known = list(model.relu_sites())
    chosen = [known_name(name, known, "site") for name in names] or known
    architecture = model.architecture
    blank = torch.zeros(1, architecture.channels, architecture.image_size, architecture.image_size)
    was_training = model.training
    model.eval()
    with hooks(model, chosen) as found:
        model.encoder(blank.to(next(model.parameters()).device))
    model.train(was_training)
    return tuple(Site(name, known.index(name) + 1, tuple(found[name].shape[1:])) for name in chosen)


@torch.no_grad()
def harvest(
    model: ResNetVAE,
    images: UInt8[np.ndarray, "image channel height width"] | Float[np.ndarray, "image channel height width"],
    consumers: Sequence[Consumer],
    *,
    batch_size: int = 100,
    inject: Mapping[str, Injection] | None = None,
    label: str = "harvest",
) -> int:
    """Walk the images once and feed every consumer; returns the number of images.

    Args:
        images: ``uint8`` of any size (resized to the network's), or floats in [0, 1] of its own size.
        inject: site name -> function that replaces the site's output (for planted activations).

    Raises:
        UserError: images of other channels, no images, activations that are not finite (site and image named).
    """
    if len(images) == 0:
        raise UserError("expected images; got none; give at least one")
    model.eval()
    device = next(model.parameters()).device
    names = list(dict.fromkeys(consumer.site.name for consumer in consumers))
    with hooks(model, names, inject) as found, progress_bar(label=label, total=len(images), unit="image") as bar:
        for start in range(0, len(images), batch_size):
            batch = as_input(images[start : start + batch_size], model).to(device)
            model.check_images(batch)
            model.encoder(batch)
            for consumer in consumers:
                flat = found[consumer.site.name].flatten(1)
                if not bool(torch.isfinite(flat).all()):
                    raise UserError(
                        f"expected finite activations; got NaN or infinity at {consumer.site.name} in images "
                        f"{start}..{start + len(batch) - 1}; check the weights and the images"
                    )
                consumer.update(flat)
            bar.update(len(batch))
    return len(images)


def as_input(images: np.ndarray, model: ResNetVAE) -> Float[Tensor, "image channel height width"]:
    """Stored ``uint8`` images resized and scaled; floats as they are."""
    if images.dtype == np.uint8:
        architecture = model.architecture
        return prepare(images, architecture.image_size, architecture.channels)
    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))


BLOCK_BYTES = 2**26
"""Rows are kept in blocks of about this size. Many small arrays between the large ones that a forward pass allocates
and frees would pin those: 17 sites of 5,000 images at 224 px then took 16.8 GB for 2.7 GB of rows."""


class Keep:
    """A consumer that keeps the activations of one site, all of its units or a fixed choice of them, in float32."""

    def __init__(self, site: Site, units: np.ndarray | None = None) -> None:
        self.site = site
        self.width = site.width if units is None else len(units)
        self._index = None if units is None else torch.from_numpy(units)
        self._blocks: list[np.ndarray] = []
        self._used = 0
        self.last = torch.empty(0)

    def update(self, activations: Tensor) -> None:
        if self._index is not None:
            activations = activations[:, self._index.to(activations.device)]
        self.last = activations.float().cpu()
        rows = self.last.numpy()
        while len(rows):
            if not self._blocks or self._used == len(self._blocks[-1]):
                self._blocks.append(np.empty((max(1, BLOCK_BYTES // (4 * self.width)), self.width), np.float32))
                self._used = 0
            fits = rows[: len(self._blocks[-1]) - self._used]
            self._blocks[-1][self._used : self._used + len(fits)] = fits
            self._used += len(fits)
            rows = rows[len(fits) :]

    @property
    def rows(self) -> Float[np.ndarray, "image width"]:
        """Everything seen so far."""
        return np.concatenate([*self._blocks[:-1], self._blocks[-1][: self._used]])


def activations(
    model: ResNetVAE, images: np.ndarray, names: Sequence[str] = (), *, batch_size: int = 100
) -> dict[str, Float[np.ndarray, "image width"]]:
    """Activations of the named sites (all where none is named), by name; for small sets such as a stimulus."""
    keepers = [Keep(site) for site in sites(model, names)]
    harvest(model, images, keepers, batch_size=batch_size, label="activations")
    return {keeper.site.name: keeper.rows for keeper in keepers}
