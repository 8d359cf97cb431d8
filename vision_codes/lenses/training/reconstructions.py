"""What does the network see? Images above their reconstructions, samples from the prior, and two scale-free numbers."""

from __future__ import annotations

import io

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from eval.measures.statistics.resampling import bootstrap_share
from eval.progress import say
from eval.report.undrawn import NOT_OF_THE_FIGURE, reason_of
from eval.runs import Run, atomic_path
from vision_codes.image_batches import Images
from vision_codes.lenses.training.results import Quality
from vision_codes.resnet_vae import ResNetVAE

COLUMNS = 8


@torch.no_grad()
def reconstruct(model: ResNetVAE, images: Float[Tensor, "batch channel height width"]) -> Tensor:
    """Reconstructions in eval mode (dropout off, the code at its mean)."""
    model.eval()
    return model(images).reconstruction


@torch.no_grad()
def quality(model: ResNetVAE, images: Images, batch_size: int = 200) -> Quality:
    """How much of the held-out images is in their reconstructions, and can one tell from it which image it was?

    See ``Quality``.
    """
    device = next(model.parameters()).device
    chunks = np.array_split(np.arange(len(images)), max(1, len(images) // batch_size))
    originals = torch.cat([images[chunk.tolist()].to(device).float() / 255 for chunk in chunks])
    drawn = torch.cat([reconstruct(model, originals[chunk.tolist()]) for chunk in chunks])
    error = (originals - drawn).square().sum().item()
    total = (originals - originals.mean(0)).square().sum().item()
    nearest = torch.cdist(drawn.flatten(1), originals.flatten(1)).argmin(1).cpu().numpy()
    share = bootstrap_share((nearest == np.arange(len(images))).astype(float))
    return Quality(error / total, share, 1 / len(images))


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
            pixels = (image.clamp(0, 1) * 255).round().byte().cpu().numpy()
            pixels = rearrange(pixels, "colour height width -> height width colour")
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = pixels  # grey repeats over the three channels
    return canvas


def picture(model: ResNetVAE, images: Images) -> np.ndarray:
    """Three rows: validation images, their reconstructions, samples from the prior."""
    device = next(model.parameters()).device
    originals = images[list(range(min(COLUMNS, len(images))))].to(device).float() / 255
    return tiles([originals, reconstruct(model, originals), sample(model, COLUMNS)])


def draw_epoch(model: ResNetVAE, images: Images, run: Run, epoch: int) -> None:
    """Write ``figures/epoch_<number>.png``; a picture that cannot be drawn is said and left out."""
    if not run.writes:
        return
    try:
        with torch.random.fork_rng(devices=[]):
            drawn = picture(model, images)
    except NOT_OF_THE_FIGURE:
        raise
    except Exception as error:
        say(f"warning: the picture of epoch {epoch} was left out: {reason_of(error)}")
        return
    out = io.BytesIO()
    Image.fromarray(drawn).save(out, "PNG")
    with atomic_path(run.path(f"figures/epoch_{epoch:03d}.png")) as temporary:
        temporary.write_bytes(out.getvalue())
