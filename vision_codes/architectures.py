"""Constructors of convolutional classifiers: by name, by `module:function`, or by the shapes of a state dict.

A constructor is what a control needs as well: the same architecture with the initialisation it gives itself.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eval.errors import UserError, known_name
from eval.torchvision_operators import declare_missing_operators

LITE0 = "efficientnet-lite0"
COMMON = ("resnet18", "resnet34", "resnet50", "googlenet", "vgg11", "vgg16", "alexnet", "squeezenet1_1")
IMAGENET_CLASSES = 1000


@cache
def names() -> tuple[str, ...]:
    """All names: `efficientnet-lite0` and torchvision's classifiers, the common ones first."""
    declare_missing_operators()
    from torchvision import models

    return (LITE0, *COMMON, *sorted(set(models.list_models(module=models)) - set(COMMON)))


def construct(name: str, size: int, n_classes: int = IMAGENET_CLASSES) -> nn.Module:
    """A fresh network of a named architecture, as its own constructor initialises it under the current seed.

    Raises `UserError` for an unknown name (with the nearest), and where the packages of the `vision` extra are missing.
    """
    known_name(name, names(), "model")
    if name == LITE0:
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise UserError(
                f"{name} needs the extra packages; install with: pip install 'neural-codes[vision]'"
            ) from error
        return EfficientNet.from_name(name, num_classes=n_classes, image_size=size)
    from torchvision import models

    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": True, "aux_logits": False, "transform_input": n_classes == IMAGENET_CLASSES}
    with contextlib.redirect_stdout(io.StringIO()):
        return models.get_model(name, weights=None, num_classes=n_classes, **options)


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a file (by `safetensors` where it ends so), auxiliary heads left out.

    Raises `UserError` for a missing file and for anything that is no state dict.
    """
    if not path.is_file():
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
    return {k: v for k, v in state.items() if isinstance(v, Tensor) and not k.startswith("aux")}


def recognise(state: Mapping[str, Tensor], what: str) -> tuple[str, int]:
    """Which architecture has weights of these names and shapes, and how many classes: ``(name, n_classes)``.

    Raises `UserError` where none has, saying how to name one.
    """
    own = {key: tuple(value.shape) for key, value in _without_counters(state).items()}
    close = ""
    for name in names():
        wanted = _shapes(name, IMAGENET_CLASSES)
        if wanted.keys() != own.keys():
            continue
        close = close or name
        classes = {own[key][0] for key in own if own[key] != wanted[key] and own[key]} or {IMAGENET_CLASSES}
        if len(classes) == 1 and _shapes(name, (n_classes := classes.pop())) == own:
            return name, n_classes
    if close:
        raise UserError(
            f"expected the sizes of {close}; {what} has its layers in other sizes; for a network of your own pass "
            f"--model package.module:function:{what}"
        )
    first = next(iter(sorted(state)), "nothing")
    raise UserError(
        f"expected the state dict of {LITE0} or of a torchvision classifier ({', '.join(COMMON[:3])}, ...); {what} "
        f"holds {first!r}; for a network of your own pass --model package.module:function:{what}"
    )


@cache
def _shapes(name: str, n_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an architecture's weights, without making them; empty where it cannot be built."""
    try:
        with torch.device("meta"):
            module = construct(name, 224, n_classes)
    except (UserError, RuntimeError, NotImplementedError, ValueError, TypeError):
        return {}
    return {key: tuple(value.shape) for key, value in _without_counters(module.state_dict()).items()}


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if "num_batches" not in key and not key.startswith("aux")}


TIMM = "timm:"
"""What stands before the name of a model of the package `timm`."""


def construct_timm(name: str, n_classes: int, *, pretrained: bool = False, size: int = 0) -> nn.Module:
    """A network of `timm` by its name there (`resnet10t.c3_in1k`); weights are fetched by timm where `pretrained`.

    `image_size`, `mean` and `deviation` of its own configuration are set on it as attributes; size: instead of its own.

    Raises `UserError` without the package, for an unknown name, and for weights that are not to be had.
    """
    try:
        import timm  # pyright: ignore[reportMissingImports]
        from timm.data import resolve_model_data_config  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"{TIMM}{name} needs timm; install with: pip install 'neural-codes[timm]'") from error
    plain = name.split(".")[0]
    known_name(plain, timm.list_models(), "model of timm")
    options: dict[str, Any] = {} if n_classes == IMAGENET_CLASSES else {"num_classes": n_classes}
    try:
        module = timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # the hub's errors, URLError, RuntimeError: the weights are not to be had
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"expected timm to make {name}; got {line}; pass {TIMM}{plain}:weights.pt") from error
    found = resolve_model_data_config(module)
    module.image_size = size or found["input_size"][-1]
    module.mean, module.deviation = tuple(found["mean"]), tuple(found["std"])
    return module


def from_function(text: str) -> Callable[[], nn.Module]:
    """The constructor behind ``package.module:function``: called without arguments it returns an `nn.Module`.

    Raises `UserError` for a module that cannot be imported (from the working folder or the environment), a missing
    function, and one that returns something else.
    """
    module_name, _, attribute = text.partition(":")
    working = str(Path.cwd())
    if working not in sys.path:
        sys.path.insert(0, working)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's own code: whatever it raises
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"expected an importable module before the colon of {text!r}; got {line}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        known = [key for key in vars(module) if callable(getattr(module, key)) and not key.startswith("_")]
        known_name(attribute, known, f"function of {module_name}")
    assert callable(function)

    def build() -> nn.Module:
        made = function()
        if isinstance(made, torch.export.ExportedProgram):
            made = exported_module(made)
        if not isinstance(made, nn.Module):
            raise UserError(f"expected {text} to return an nn.Module; got {type(made).__name__}; return the network")
        return made

    return build


def exported_module(program: torch.export.ExportedProgram) -> nn.Module:
    """The network of a `torch.export` program, with the side of its images as `image_size`.

    Raises `UserError` for a program of anything but one batch of images.
    """
    names = program.graph_signature.user_inputs
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    shape = tuple(inputs[0].meta["val"].shape) if len(inputs) == 1 else ()
    if len(shape) != 4:
        raise UserError(f"expected an exported program of images [image, channel, row, column]; got inputs {shape}")
    module: Any = program.module()
    module.image_size = int(shape[-1])
    return module


def in_eval_mode(module: nn.Module) -> nn.Module:
    """The network in eval mode; an exported program has one mode, the one it was exported in."""
    try:
        return module.eval()
    except NotImplementedError:
        return module
