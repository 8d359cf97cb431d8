"""Cross-layer transcoders in circuit-tracer's files, which are ours too: two a layer, and a `config.yaml` beside them.

    W_enc_3.safetensors   W_enc_3 [feature d_model], b_enc_3 [feature], b_dec_3 [d_model] (of output 3), and of a
                          JumpReLU threshold_3 [feature]: a feature is on where its pre-activation is above it
    W_dec_3.safetensors   W_dec_3 [feature, L - 3, d_model]: what features of layer 3 write to layers 3, 4, ..., L - 1
    config.yaml           model_kind: cross_layer_transcoder, feature_input_hook, feature_output_hook, model_name
    cross_layer.json      ours alone: hooks by layer, the model by hash, how it was trained, what was saved

Source: circuit-tracer 0.5, `cross_layer_transcoder.py` (`to_safetensors`, `load_clt`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError
from eval.files import atomic_path, json_text, write_text
from llm_codes.lenses.saes.cross_layer import CrossLayerTranscoder

ENCODER = re.compile(r"W_enc_(\d+)\.safetensors")
FILE = re.compile(r"W_(enc|dec)_\d+\.safetensors")
SAID = "cross_layer.json"


def is_cross_layer(folder: Path) -> bool:
    """Whether a folder holds a cross-layer transcoder, whole or in part."""
    return folder.is_dir() and any(FILE.fullmatch(item.name) for item in folder.iterdir())


def read_cross_layer(folder: str | Path, device: str = "cpu") -> CrossLayerTranscoder:
    """The cross-layer transcoder of a folder, in float32.

    Raises:
        UserError: a file or a tensor is missing or damaged; shapes that do not fit; weights that are not finite.
    """
    place = Path(folder)
    count = len([item for item in place.iterdir() if ENCODER.fullmatch(item.name)]) if place.is_dir() else 0
    if not count:
        raise UserError(
            f"expected W_enc_0.safetensors and so on in {place}; got no cross-layer transcoder; check the path"
        )
    own = [_layer(place, layer, count, device) for layer in range(count)]
    said = _said(place, count)
    return CrossLayerTranscoder(
        torch.stack([one["W_enc"] for one in own]),
        torch.stack([one["b_enc"] for one in own]),
        torch.stack([one["threshold"] for one in own]),
        tuple(one["W_dec"] for one in own),
        torch.stack([one["b_dec"] for one in own]),
        tuple(said.pop("hooks")),
        tuple(said.pop("hooks_out")),
        said,
        place.name,
    )


def _layer(folder: Path, layer: int, count: int, device: str) -> dict[str, Tensor]:
    """The tensors of one layer by their names without its number; a ReLU's threshold is 0."""
    found = {**_tensors(folder / f"W_enc_{layer}.safetensors"), **_tensors(folder / f"W_dec_{layer}.safetensors")}
    named = {name.removesuffix(f"_{layer}"): value.float().to(device) for name, value in found.items()}
    missing = [name for name in ("W_enc", "b_enc", "b_dec", "W_dec") if name not in named]
    if missing:
        raise UserError(f"expected {missing[0]}_{layer} in {folder}; layer {layer} lacks it; copy it again")
    features, width = named["W_enc"].shape
    named.setdefault("threshold", torch.zeros(features, device=device))
    shapes = {"b_enc": (features,), "threshold": (features,), "W_dec": (features, count - layer, len(named["b_dec"]))}
    for name, shape in shapes.items():
        if tuple(named[name].shape) != shape:
            raise UserError(
                f"expected {name}_{layer} of shape {list(shape)} in {folder}, with {count} layers and {features} "
                f"features {width} wide; got {list(named[name].shape)}; copy the folder again"
            )
    for name, value in named.items():
        bad = int((~value.isfinite()).sum())
        if bad:
            raise UserError(
                f"expected finite weights in {folder.name}; {name}_{layer} has {bad} NaN or infinite of "
                f"{value.numel()}; train or copy it again"
            )
    return named


def _tensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    if not file.is_file():
        raise UserError(f"expected {file.name} in {file.parent}; a layer of the cross-layer transcoder is missing it")
    try:
        return load_file(file)
    except Exception as error:  # safetensors raises its own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"expected {file.name} in {file.parent}; it is damaged ({line[:160]}); copy it again"
        ) from error


def _said(folder: Path, count: int) -> dict[str, Any]:
    """What `cross_layer.json` says, or else `config.yaml`; hooks are empty where nothing does."""
    if (folder / SAID).is_file():
        return json.loads((folder / SAID).read_text("utf-8"))
    said: Mapping[str, Any] = {}
    if (folder / "config.yaml").is_file():
        import yaml

        said = yaml.safe_load((folder / "config.yaml").read_text("utf-8")) or {}
    out: dict[str, Any] = {"model_name": str(said["model_name"])} if said.get("model_name") else {}
    for key, name in (("hooks", "feature_input_hook"), ("hooks_out", "feature_output_hook")):
        out[key] = [f"blocks.{layer}.{said[name]}" if said.get(name) else "" for layer in range(count)]
    return out


def write_cross_layer(transcoder: CrossLayerTranscoder, folder: str | Path, *, half: bool = False) -> Path:
    """Write a cross-layer transcoder as circuit-tracer's `load_clt` opens it; returns the folder.

    half: weights in float16. Thresholds are written where any is above 0.
    """
    from safetensors.torch import save_file

    place, kind = Path(folder), torch.float16 if half else torch.float32
    jump = bool((transcoder.threshold > 0).any())
    for layer in range(transcoder.n_layers):
        encoder = {"W_enc": transcoder.encoder, "b_enc": transcoder.encoder_bias, "b_dec": transcoder.decoder_bias}
        encoder |= {"threshold": transcoder.threshold} if jump else {}
        parts = {f"{name}_{layer}": value[layer] for name, value in encoder.items()}
        for file, tensors in (("W_enc", parts), ("W_dec", {f"W_dec_{layer}": transcoder.decoders[layer]})):
            ready = {name: value.to(kind).cpu().contiguous() for name, value in tensors.items()}
            with atomic_path(place / f"{file}_{layer}.safetensors") as temporary:
                save_file(ready, temporary)
    lines = ["model_kind: cross_layer_transcoder"]
    for name, hooks in (("feature_input_hook", transcoder.hooks), ("feature_output_hook", transcoder.hooks_out)):
        lines.append(f"{name}: {re.sub(r'^blocks[.][0-9]+[.]', '', hooks[0])}")
    lines.append(f"model_name: {json.dumps(str(transcoder.metadata.get('model_name') or ''))}")
    write_text(place / "config.yaml", "\n".join([*lines, ""]))
    said = {"hooks": list(transcoder.hooks), "hooks_out": list(transcoder.hooks_out), **transcoder.metadata}
    write_text(place / SAID, json_text(said))
    return place
