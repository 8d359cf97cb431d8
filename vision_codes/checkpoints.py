"""The state of a training run in one file, and the trained network read back from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from eval.errors import UserError
from eval.files import is_intact, read_seal, sealed_path, set_aside
from eval.processes import is_main_process, world_size
from eval.progress import say
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.vae_architecture import Architecture

FILE_NAME = "checkpoint.pt"


@dataclass
class Position:
    """Where a run stands: finished epochs, steps into the next one, its partial sums, and one record per epoch done."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of the generators that dropout and the reparametrisation draw from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def save(
    folder: Path,
    model: ResNetVAE,
    parts: Mapping[str, Any],
    position: Position,
    device: torch.device,
    origin: Mapping[str, str] | None = None,
    *,
    final: bool = False,
) -> None:
    """Write ``checkpoint.pt`` atomically and sealed: model, optimizer, scheduler, generators, data position.

    Every process must call this (their generators are gathered); the main one writes.

    Args:
        origin: what the weights are made from (content of the images, code). final: the weights alone, once nothing
            will be trained any more (Adam's moments are twice their size).
    """
    states: list[Any] = [random_state(device)]
    if world_size() > 1:
        states = [None] * world_size()
        distributed.all_gather_object(states, random_state(device))
    if not is_main_process():
        return
    content = {
        "architecture": model.architecture.as_json(),
        "model": model.state_dict(),
        "parts": {} if final else {name: part.state_dict() for name, part in parts.items()},
        "random_states": [] if final else states,
        "position": vars(position),
        "origin": dict(origin or {}),
    }
    with sealed_path(folder / FILE_NAME, origin=content["origin"]) as temporary:
        torch.save(content, temporary)


def to_continue(folder: Path, origin: Mapping[str, str]) -> dict[str, Any] | None:
    """The content of the checkpoint that a training may continue from, or None where it starts again.

    A damaged checkpoint is named and kept as ``.damaged``; one made from other images or by other code as ``.stale``.
    """
    if is_main_process():
        _set_aside_unusable(folder / FILE_NAME, origin)
    if world_size() > 1:
        distributed.barrier()
    return read(folder)


def _set_aside_unusable(path: Path, origin: Mapping[str, str]) -> None:
    try:
        content = read(path.parent)
    except UserError as error:
        say(f"warning: {error}: kept as {set_aside(path, '.damaged').name}, trained again")
        return
    before = None if content is None else content.get("origin", {})
    differing = [] if before is None else [name for name in origin if before.get(name) != origin[name]]
    if differing:
        words = f"was made from other {' and other '.join(differing)}"
        say(f"warning: {path} {words}: kept as {set_aside(path, '.stale').name}, trained again")


def read(folder: Path) -> dict[str, Any] | None:
    """The content of a checkpoint (never unpickled as code), or None where there is none.

    Raises:
        UserError: a file that is not what its seal was written for, or no checkpoint (an older one has no seal).
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    if read_seal(path) is not None and not is_intact(path):
        raise UserError(f"expected a checkpoint as it was written; {path} is damaged (its bytes differ from its seal)")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        _ = content["architecture"], content["model"], content["position"]
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, KeyError on damage
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"expected a checkpoint of a ResNet-VAE; {path} is damaged or another file ({line})") from error
    return content


def load_weights(model: nn.Module, content: dict[str, Any], expected: Architecture, folder: Path) -> None:
    """Weights into a model; another architecture is refused by naming the difference."""
    found = Architecture(**content["architecture"]).as_json()  # settings that came later have their defaults
    differing = [
        f"{name}={found[name]!r} (expected {value!r})"
        for name, value in expected.as_json().items()
        if found[name] != value
    ]
    if differing:
        raise UserError(
            f"{folder / FILE_NAME} holds another architecture: {', '.join(differing)}; choose another folder"
        )
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        line = " ".join(str(error).split())[:160]
        raise UserError(f"{folder / FILE_NAME} does not fit its own architecture ({line}); train it again") from error


def load_model(folder: str | Path, device: str = "cpu") -> ResNetVAE:
    """The network trained in a run folder, in eval mode.

    Raises:
        UserError: no checkpoint there, a damaged one, or no such device.
    """
    content = read(Path(folder))
    if content is None:
        raise UserError(f"expected a folder written by `vision_codes train`; {folder} holds no {FILE_NAME}")
    architecture = Architecture(**content["architecture"])
    model = ResNetVAE(architecture)
    load_weights(model, content, architecture, Path(folder))
    return model.to(resolve_device(device)).eval()


def resolve_device(name: str) -> torch.device:
    """The torch device of a name; one that is not there is a clear line."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"expected a torch device such as cpu or cuda:0; got {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"expected a CUDA device for --device {name}; torch sees none; pass --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(f"expected --device cuda:0 to cuda:{count - 1}; got {name}; torch sees {count}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("expected Apple's GPU for --device mps; torch sees none; pass --device cpu")
    return device
