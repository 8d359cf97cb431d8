"""What a ResNet-VAE is trained on: reconstruction and divergence from the prior, and the noise of its code.

Axis glossary: ``batch``, ``channel``, ``height``, ``width``, ``latent``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from eval.errors import UserError

RECONSTRUCTION_LOSSES = ("mse", "bce")


class Output(NamedTuple):
    """What a forward pass returns: reconstruction in [0, 1], and the mean and log-variance of the code."""

    reconstruction: Float[Tensor, "batch channel height width"]
    mean: Float[Tensor, "batch latent"]
    log_variance: Float[Tensor, "batch latent"]


def reparametrise(
    mean: Float[Tensor, "batch latent"], log_variance: Float[Tensor, "batch latent"]
) -> Float[Tensor, "batch latent"]:
    """z = mean + exp(log_variance / 2) * noise, noise ~ N(0, I) [Kingma & Welling 2014]; gradients flow to both."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


class Losses(NamedTuple):
    """Loss terms, each a mean over images. total = reconstruction + kl_weight * kl."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def vae_loss(
    output: Output, images: Float[Tensor, "batch channel height width"], *, kind: str = "mse", kl_weight: float = 1.0
) -> Losses:
    """How badly are the images reconstructed, and how far is the code from its prior? Lower is better, both >= 0 (mse).

    reconstruction: squared error (``mse``) or binary cross-entropy in nats (``bce``), *summed* over pixels and
    channels. kl: KL(q(z | image) || N(0, I)) = -1/2 sum(1 + log s^2 - mu^2 - s^2), in nats, summed over the latent.
    Both are then averaged over images, which fixes the meaning of ``kl_weight`` (1 is the evidence lower bound for a
    unit-variance decoder, up to the factor 2 of the squared error, as in the authors' code).

    Raises:
        UserError: an unknown ``kind``.
    """
    if kind not in RECONSTRUCTION_LOSSES:
        raise UserError(f"expected a reconstruction loss of {RECONSTRUCTION_LOSSES}; got {kind!r}; choose one of them")
    with torch.autocast(images.device.type, enabled=False):
        prediction = output.reconstruction.float()
        mean, log_variance = output.mean.float(), output.log_variance.float()
        if kind == "mse":
            summed = functional.mse_loss(prediction, images, reduction="sum")
        else:
            summed = functional.binary_cross_entropy(prediction, images, reduction="sum")
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    reconstruction, kl = summed / len(images), kl / len(images)
    return Losses(reconstruction + kl_weight * kl, reconstruction, kl)
