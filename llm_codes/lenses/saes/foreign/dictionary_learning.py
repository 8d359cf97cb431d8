"""`ae.pt` of dictionary_learning (saprmarks), with the trainer's `config.json` beside it.

Standard, gated, TopK, BatchTopK, Matryoshka and JumpReLU classes, told apart by the names of their tensors. Features
have the values that version 0.1 (the released one) gives them by default, not times the decoder's norm. Source:
dictionary_learning 0.1, `dictionary.py` and `trainers/*.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Parts = tuple[dict[str, Any], dict[str, Tensor]]


def dictionary_learning_parts(path: Path) -> Parts:
    """Configuration (sae-lens' keys) and weights of a folder with `ae.pt`; tensors only, nothing is unpickled."""
    state: Mapping[str, Tensor] = torch.load(path / "ae.pt", map_location="cpu", weights_only=True)
    file = path / "config.json"
    trainer = json.loads(file.read_text("utf-8")).get("trainer", {}) if file.is_file() else {}
    linear = "encoder.weight" in state
    weights = {
        "W_enc": state["encoder.weight"].T if linear else state["W_enc"],
        "W_dec": state["decoder.weight"].T if linear else state["W_dec"],
    }
    bias = next((state[name] for name in ("b_dec", "bias", "decoder_bias", "decoder.bias") if name in state), None)
    weights["b_dec"] = torch.zeros(weights["W_dec"].shape[1]) if bias is None else bias
    kind = _kind_of_state(state, str(trainer.get("dict_class", "")))
    subtracts = linear or "group_sizes" in state  # JumpReluAutoEncoder reads the activation as it is
    config: dict[str, Any] = {"architecture": kind, "apply_b_dec_to_input": subtracts}
    if "decoder.bias" in state:
        config["apply_b_dec_to_input"] = False  # AutoEncoderNew subtracts nothing
    if kind == "gated":
        weights |= {"b_gate": state["gate_bias"], "b_mag": state["mag_bias"], "r_mag": state["r_mag"]}
        return _with_place(config, weights, trainer)
    weights["b_enc"] = state["encoder.bias"] if linear else state["b_enc"]
    if kind == "topk":
        config |= {"k": int(state.get("k", trainer.get("k", 0))), "rescale_acts_by_decoder_norm": False}
    if kind == "jumprelu":
        weights["threshold"] = state["threshold"].float().expand(len(weights["b_enc"])).clone()
    return _with_place(config, weights, trainer)


def _kind_of_state(state: Mapping[str, Tensor], name: str) -> str:
    if "gate_bias" in state:
        return "gated"
    if "W_enc" in state or "BatchTopK" in name:
        return "jumprelu"
    return "topk" if "k" in state or "TopK" in name else "standard"


def _with_place(config: dict[str, Any], weights: dict[str, Tensor], trainer: Mapping[str, Any]) -> Parts:
    """Hook and model from dictionary_learning's configuration: the output of a module of a layer."""
    layer, module = trainer.get("layer"), str(trainer.get("submodule_name") or "")
    kinds = {"attn": "attn_out", "attention": "attn_out", "self_attn": "attn_out", "mlp": "mlp_out"}
    suffix = f"hook_{kinds.get(re.split('[._]', module)[0], 'resid_post')}"
    metadata = {"model_name": str(trainer.get("lm_name") or "")}
    if layer is not None:
        metadata["hook_name"] = f"blocks.{layer}.{suffix}"
    return config | {"metadata": metadata}, weights
