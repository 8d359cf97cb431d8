"""Per-layer transcoders of circuit-tracer: one `layer_N.safetensors` a layer, and a `config.yaml` that names the hooks.

    layer_3.safetensors   W_enc [feature d_model], W_dec [feature d_model], b_enc, b_dec; of a JumpReLU also
                          `activation_function.threshold` [feature]; of a skip transcoder W_skip [d_model d_model]
    config.yaml           feature_input_hook, feature_output_hook, model_name

Cross-layer transcoders have files of their own: `cross_layer`. Source: circuit-tracer 0.5,
`single_layer_transcoder.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from eval.errors import UserError
from eval.files import atomic_path, write_text
from llm_codes.lenses.saes.folder import SAEFolder

LAYER = re.compile(r"layer_(\d+)\.safetensors")
NAMES = ("W_enc", "W_dec", "b_enc", "b_dec")
THRESHOLD = "activation_function.threshold"


def layer_files(folder: Path) -> list[Path]:
    """The transcoders of a set, lowest layer first."""
    found = [item for item in folder.iterdir() if LAYER.fullmatch(item.name)]
    return sorted(found, key=lambda item: int(LAYER.fullmatch(item.name)[1]))  # type: ignore[index]


def one_layer(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration (sae-lens' keys) and weights of one layer's file.

    Raises:
        UserError: a tensor is missing; a threshold below 0, at which sae-lens' class and theirs differ.
    """
    from safetensors.torch import load_file

    state = load_file(file)
    missing = [name for name in NAMES if name not in state]
    if missing:
        raise UserError(f"expected {', '.join(NAMES)} in {file}; it lacks {missing[0]}; copy it again")
    weights = {
        "W_enc": state["W_enc"].float().T,
        "W_dec": state["W_dec"].float(),
        "b_enc": state["b_enc"].float(),
        "b_dec": state["b_dec"].float(),
    }
    kind = "transcoder"
    if THRESHOLD in state:
        kind = "jumprelu_transcoder"
        weights["threshold"] = state[THRESHOLD].float().flatten().expand(len(weights["b_enc"])).clone()
        if bool((weights["threshold"] < 0).any()):
            raise UserError(
                f"expected thresholds of at least 0 in {file}; got {float(weights['threshold'].min()):.3g}, where a "
                "feature that is on may be negative; such a transcoder is not read"
            )
    if "W_skip" in state:
        kind = {"transcoder": "skip_transcoder", "jumprelu_transcoder": "jumprelu_skip_transcoder"}[kind]
        weights["W_skip"] = state["W_skip"].float()
    config = {"architecture": kind, "apply_b_dec_to_input": False, "d_out": weights["W_dec"].shape[1]}
    return config | {"metadata": _place(file)}, weights


def _place(file: Path) -> dict[str, str]:
    """Hooks and model of the set's `config.yaml`; empty without one."""
    beside = file.parent / "config.yaml"
    if not beside.is_file():
        return {}
    import yaml

    said = yaml.safe_load(beside.read_text("utf-8")) or {}
    layer = LAYER.fullmatch(file.name)[1]  # type: ignore[index]
    keys = {"hook_name": "feature_input_hook", "hook_name_out": "feature_output_hook"}
    out = {key: f"blocks.{layer}.{said[name]}" for key, name in keys.items() if said.get(name)}
    return out | ({"model_name": str(said["model_name"])} if said.get("model_name") else {})


def write_set(saes: Sequence[SAEFolder], folder: str | Path) -> Path:
    """Write transcoders as a set that circuit-tracer opens (`load_transcoder_set`), with the hooks in `config.yaml`.

    saes: one a layer, layer 0 first, all reading and writing at the same place of their layers.

    Raises:
        UserError: something else than ReLU or JumpReLU transcoders of consecutive layers and one place.
    """
    from safetensors.torch import save_file

    places = [re.match(r"blocks\.(\d+)\.(.+)", sae.hook) for sae in saes]
    layers = [int(place[1]) if place else None for place in places]
    reading = [place[2] if place else "" for place in places]
    kinds = {(reads, sae.hook_out.split(".", 2)[-1]) for reads, sae in zip(reading, saes, strict=True)}
    readable = all(sae.is_transcoder and not sae.normalises for sae in saes)
    if layers != list(range(len(saes))) or len(kinds) != 1 or not readable:
        raise UserError(
            f"expected transcoders of layers 0 to {len(saes) - 1} at one place; got "
            f"{', '.join(sae.place for sae in saes) or 'none'}; give one a layer, in order"
        )
    for layer, sae in enumerate(saes):
        state = {name: getattr(sae.sae, name).detach() for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
        state["W_enc"] = state["W_enc"].T
        for own, name in (("threshold", THRESHOLD), ("W_skip", "W_skip")):
            if hasattr(sae.sae, own):
                state[name] = getattr(sae.sae, own).detach()
        tensors = {name: value.float().cpu().contiguous() for name, value in state.items()}
        with atomic_path(Path(folder) / f"layer_{layer}.safetensors") as temporary:
            save_file(tensors, temporary)
    ((reads, writes),) = kinds
    model = str(saes[0].metadata.get("model_name") or "")
    lines = ["model_kind: transcoder_set", f"feature_input_hook: {reads}", f"feature_output_hook: {writes}"]
    write_text(Path(folder) / "config.yaml", "\n".join([*lines, f"model_name: {json.dumps(model)}", ""]))
    return Path(folder)
