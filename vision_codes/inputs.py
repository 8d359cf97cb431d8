"""What the analysis commands open: a network, trained or fresh, and images, or a control without their structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8

from eval.errors import UserError
from vision_codes.checkpoints import load_model, resolve_device
from vision_codes.configs.spectra import ImagesConfig
from vision_codes.data import load_images
from vision_codes.resnet_vae import ResNetVAE, build
from vision_codes.stimuli import phase_scrambled, random_images


def open_network(folder: str, device: str, *, untrained: bool, seed: int) -> ResNetVAE:
    """The trained network of a folder, or a fresh one of its architecture."""
    model = load_model(folder, device)
    if untrained:
        model = build(model.architecture, seed).to(resolve_device(device))
    return model.eval()


def open_model(config: ImagesConfig) -> ResNetVAE:
    """The network of a configuration."""
    return open_network(config.model, config.device, untrained=config.untrained, seed=config.seed)


def open_images(
    config: ImagesConfig, model: ResNetVAE
) -> tuple[UInt8[np.ndarray, "image channel height width"], dict[str, Any]]:
    """Images of a configuration and their provenance; grey ones for a colour network only where that was asked for."""
    architecture = model.architecture
    found = load_images(
        config.data, config.split, n=config.n_images or None, seed=config.seed, size=architecture.image_size
    )
    if found.channels != architecture.channels and not (config.grey_as_colour and found.channels == 1):
        kinds = {1: "grey images (1 channel)", 3: "colour images (3 channels)"}
        raise UserError(
            f"expected {kinds[architecture.channels]} for {config.model}; {config.data} holds {kinds[found.channels]}; "
            "choose other --data or pass --grey-as-colour"
        )
    images, provenance = found.images, found.provenance | {"control": config.images}
    if config.images == "random":
        images = random_images(len(found), architecture.channels, architecture.image_size, config.seed)
    elif config.images == "phase-scrambled":
        images = phase_scrambled(found.images, config.seed)
    return images, provenance


def describe_model(model: ResNetVAE, config: ImagesConfig) -> dict[str, Any]:
    """Provenance of the network a command looked at."""
    return {"folder": config.model, "architecture": model.architecture.as_json(), "untrained": config.untrained}
