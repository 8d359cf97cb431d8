"""How fast is training, and what share of the machine's matrix-multiply rate does it reach?"""

from __future__ import annotations

import copy
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from vision_codes.lenses.training.results import Throughput
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.vae_loss import vae_loss


def training_flops_per_image(model: ResNetVAE, batch_size: int = 2) -> float:
    """Floating-point operations (multiply and add counted as two) of one image forward and backward: convolutions and
    matrix products only, as counted by torch on the operations it really runs."""
    copied = copy.deepcopy(model).cpu().train()
    shape = (batch_size, copied.architecture.channels, copied.architecture.image_size, copied.architecture.image_size)
    counter = FlopCounterMode(display=False)
    with torch.random.fork_rng(devices=[]), counter:
        images = torch.rand(shape)
        vae_loss(copied(images), images).total.backward()
    return counter.get_total_flops() / batch_size


def matrix_multiply_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.5) -> float:
    """Operations per second of a large square matrix product on this device, measured."""
    size = 8192 if device.type == "cuda" else 1024
    a = torch.rand(size, size, device=device).to(dtype)

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(2):
        torch.mm(a, a)
    synchronise()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        torch.mm(a, a)
        synchronise()
        count += 1
    return 2 * size**3 * count / (time.perf_counter() - start)


def throughput(model: ResNetVAE, batch_size: int, amp: bool, images_per_second: float) -> Throughput:
    """Images per second of the last epoch, operations per image, and the share of the measured matrix-multiply rate."""
    device = next(model.parameters()).device
    dtype = torch.bfloat16 if amp else torch.float32
    flops = training_flops_per_image(model)
    rate = matrix_multiply_rate(device, dtype)
    return Throughput(
        images_per_second,
        batch_size,
        flops,
        rate,
        images_per_second * flops / rate,
        dtype=str(dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    )
