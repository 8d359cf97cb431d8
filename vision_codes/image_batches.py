"""From stored images to batches: resize, channels, a data order that a checkpoint can name, shares for processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eval.errors import UserError
from eval.processes import rank, world_size
from eval.torchvision_operators import declare_missing_operators

MAXIMUM_CACHE_BYTES = 2**30
"""Resized images are kept in memory up to this size; beyond it they are resized batch by batch (by workers)."""


def match_channels(images: UInt8[Tensor, "image channel height width"], channels: int) -> Tensor:
    """Grey images repeated over three channels; colour for a grey network is refused."""
    found = images.shape[1]
    if found == channels:
        return images
    if found == 1 and channels == 3:
        return images.expand(-1, 3, -1, -1)
    raise UserError(f"expected {channels}-channel images; got {found} channels; train with --data of the same kind")


def resize(images: UInt8[Tensor, "image channel height width"], size: int) -> UInt8[Tensor, "image channel size size"]:
    """Square images of ``size`` pixels (torchvision's antialiased bilinear resize; nothing done where they fit)."""
    if images.shape[-2:] == (size, size):
        return images

    declare_missing_operators()
    from torchvision.transforms import v2

    return v2.Resize((size, size), antialias=True)(images)


def prepare(
    images: UInt8[np.ndarray, "image channel height width"], size: int, channels: int
) -> Float[Tensor, "image channel size size"]:
    """Images as the network takes them: float32 in [0, 1], resized, with its channels."""
    return resize(match_channels(torch.from_numpy(images), channels), size).float() / 255


class Images(torch.utils.data.Dataset):
    """Images to draw batches from, resized once where they fit in memory. Items are whole batches of ``uint8``."""

    def __init__(self, images: UInt8[np.ndarray, "image channel height width"], size: int, channels: int) -> None:
        self.images, self.size, self.channels = torch.from_numpy(images), size, channels
        if len(images) * channels * size * size <= MAXIMUM_CACHE_BYTES:
            parts = [self.images[i : i + 512] for i in range(0, len(images), 512)]
            self.images = torch.cat([resize(match_channels(part, channels), size) for part in parts])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: list[int]) -> UInt8[Tensor, "batch channel size size"]:
        return resize(match_channels(self.images[indices], self.channels), self.size)


def epoch_order(n_images: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch; a function of seed and epoch alone, so that a checkpoint holds a position only."""
    return np.random.default_rng([seed, epoch]).permutation(n_images)


def share_of_batches(order: np.ndarray, batch_size: int) -> list[list[int]]:
    """This process's part of every batch of an epoch: each image once, equally many steps in every process.

    A last batch that would leave a process fewer than two images (BatchNorm needs two) is left out of the epoch.
    """
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    size = world_size()
    if len(batches[-1]) < 2 * size:
        batches = batches[:-1]
    if not batches:
        raise UserError(
            f"expected at least {2 * size} images per step for {size} processes; got {len(order)}; give more images"
        )
    return [np.array_split(batch, size)[rank()].tolist() for batch in batches]


def batches(data: Images, indices: list[list[int]], workers: int = 0) -> Iterator[Tensor]:
    """Batches of ``uint8`` images in the given order, prepared by ``workers`` processes."""
    loader = torch.utils.data.DataLoader(
        data,
        sampler=indices,  # pyright: ignore[reportArgumentType]  (a sampler of whole batches)
        batch_size=None,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
        generator=torch.Generator(),  # its own: an iterator draws a seed, which must not move dropout's generator
    )
    yield from loader
