"""Images where there is no data at all: structured, learnable, made of nothing."""

from __future__ import annotations

import numpy as np

SPLITS = ("train", "test", "all")


def synthetic(n: int, size: int, seed: int, split: str) -> tuple:
    """Coloured discs (class 0), bars (1) and gradients (2): structured, learnable, and made of nothing."""
    generator = np.random.default_rng([seed, SPLITS.index(split)])
    labels = np.arange(n) % 3
    row, column = np.mgrid[0:size, 0:size] / max(size - 1, 1)
    images = np.empty((n, 3, size, size))
    for i, label in enumerate(labels):
        front, back = generator.uniform(0, 255, (2, 3, 1, 1))
        centre, angle = generator.uniform(0.25, 0.75, 2), generator.uniform(0, np.pi)
        along = (row - centre[0]) * np.sin(angle) + (column - centre[1]) * np.cos(angle)
        disc = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 < 0.04
        bar, slope = np.abs(along) < 0.1, np.clip(along + 0.5, 0, 1)
        mask = (disc, bar, slope)[label].astype(float)
        images[i] = back + (front - back) * mask
    return images.astype(np.uint8), labels, ("disc", "bar", "gradient"), "synthetic"
