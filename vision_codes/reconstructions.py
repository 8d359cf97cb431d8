"""What does the network see? Images above their reconstructions, and samples from the prior."""

from __future__ import annotations

import io

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from eval.runs import Run, atomic_path
from vision_codes.image_batches import Images
from vision_codes.resnet_vae import ResNetVAE

COLUMNS = 8


@torch.no_grad()
def reconstruct(model: ResNetVAE, images: Float[Tensor, "batch channel height width"]) -> Tensor:
    """Reconstructions in eval mode (dropout off, the code at its mean)."""
    model.eval()
    return model(images).reconstruction


@torch.no_grad()
def sample(model: ResNetVAE, n: int, seed: int = 0) -> Float[Tensor, "image channel height width"]:
    """Images decoded from ``n`` codes drawn from the prior N(0, I); the same codes for the same seed."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(n, model.architecture.latent, generator=generator)
    return model.decoder(codes.to(next(model.parameters()).device))


def tiles(rows: list[Float[Tensor, "image channel height width"]], gap: int = 2) -> np.ndarray:
    """Rows of images in [0, 1] as one ``uint8 [height width 3]`` picture."""
    height, width = rows[0].shape[-2:]
    columns = max(len(row) for row in rows)
    canvas = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            pixels = (image.clamp(0, 1) * 255).round().byte().cpu().numpy().transpose(1, 2, 0)
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = pixels  # grey repeats over the three channels
    return canvas


def picture(model: ResNetVAE, images: Images) -> np.ndarray:
    """Three rows: validation images, their reconstructions, samples from the prior."""
    device = next(model.parameters()).device
    originals = images[list(range(min(COLUMNS, len(images))))].to(device).float() / 255
    return tiles([originals, reconstruct(model, originals), sample(model, COLUMNS)])


def draw_epoch(model: ResNetVAE, images: Images, run: Run, epoch: int) -> None:
    """Write ``figures/epoch_<number>.png``."""
    if not run.writes:
        return
    with torch.random.fork_rng(devices=[]), atomic_path(run.path(f"figures/epoch_{epoch:03d}.png")) as temporary:
        out = io.BytesIO()
        Image.fromarray(picture(model, images)).save(out, "PNG")
        temporary.write_bytes(out.getvalue())
