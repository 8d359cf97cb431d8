"""What do the leading directions of the code look like? Eigenvectors as maps of their site and as filters on pixels.

[MK Fig. 3d]. A pixel filter summarises a direction linearly: the covariance of the pixels with
the direction's coefficient over images (a spike-triggered average), scaled to unit length. For a linear site it is the
eigenvector seen through the covariance of natural images; deep in the network it shows only the linear part.

Axis glossary: ``filter`` eigenvectors by falling eigenvalue, ``image``, ``channel``, ``height``, ``width``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from eval.options import chosen
from vision_codes.configs.spectra import EigenfiltersOptions
from vision_codes.harvest import Site, activations, as_input, sites
from vision_codes.resnet_vae import ResNetVAE


@dataclass(frozen=True)
class Eigenfilters:
    """Leading eigenvectors of one site.

    vectors: ``[filter channel height width]`` of the site, unit length. pixels: of the image, the same axes and length.
    share: of the variance over images, falling. linear_r2: share of each coefficient's variance that its own pixel
    filter explains over these images (in-sample, one regressor: in [0, 1]).
    """

    site: Site
    vectors: Float[np.ndarray, "filter channel height width"]
    pixels: Float[np.ndarray, "filter channel height width"]
    share: Float[np.ndarray, " filter"]
    linear_r2: Float[np.ndarray, " filter"]


def eigenfilters(
    model: ResNetVAE,
    images: np.ndarray,
    options: EigenfiltersOptions | None = None,
    *,
    batch_size: int = 100,
    **changes: Any,
) -> list[Eigenfilters]:
    """The leading eigenvectors of every site (fewer where it has fewer), from the images' Gram matrix.

    Signs are chosen so that a pixel filter's largest weight is positive.

    Args:
        options: sites and how many ``filters``; ``changes`` are single ones by name.
    """
    return list(site_filters(model, images, chosen(EigenfiltersOptions, options, changes), batch_size=batch_size))


def site_filters(
    model: ResNetVAE, images: np.ndarray, options: EigenfiltersOptions, *, batch_size: int = 100
) -> Iterator[Eigenfilters]:
    """The same, one site after another."""
    pixels = as_input(images, model).flatten(1).double().numpy()
    pixels -= pixels.mean(0)
    for site in sites(model, options.sites):
        rows = activations(model, images, [site.name], batch_size=batch_size)[site.name].astype(np.float64)
        yield _of_site(site, model, rows, pixels, options.filters)


def _of_site(
    site: Site,
    model: ResNetVAE,
    rows: Float[np.ndarray, "image width"],
    pixels: Float[np.ndarray, "image pixel"],
    n_filters: int,
) -> Eigenfilters:
    architecture = model.architecture
    shape = (architecture.channels, architecture.image_size, architecture.image_size)
    rows -= rows.mean(0)
    values, left = np.linalg.eigh(rows @ rows.T)
    n = min(n_filters, int((values > 1e-10 * max(values[-1], 1e-300)).sum()))
    values, left = values[::-1][:n], left[:, ::-1][:, :n]
    filters = left.T @ pixels
    filters /= np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-300)
    signs = np.sign(filters[np.arange(n), np.abs(filters).argmax(1)])[:, None]
    vectors = left.T @ rows / np.sqrt(values)[:, None] * signs
    response = pixels @ (filters * signs).T
    cosine = (response * left * signs.T).sum(0) / np.maximum(np.linalg.norm(response, axis=0), 1e-300)
    share = values / np.square(rows).sum()
    return Eigenfilters(site, vectors.reshape(n, *site.shape), (filters * signs).reshape(n, *shape), share, cosine**2)
