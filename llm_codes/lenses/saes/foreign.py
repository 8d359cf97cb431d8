"""Dictionaries that others wrote: dictionary_learning, sparsify, Gemma Scope; read into sae-lens' classes.

| format | files | what becomes of it |
|---|---|---|
| dictionary_learning | `ae.pt`, `config.json` | standard, gated, TopK, BatchTopK, JumpReLU; tensors only |
| sparsify | `sae.safetensors`, `cfg.json` | TopK; its transcoders are named, not read |
| Gemma Scope | `params.npz` | JumpReLU |
| circuit-tracer, old sae-lens `.pt` | `layer_N.safetensors`, `*.pt` | named, not read |

What a format does not say (a hook, a model) is left empty and named by whoever needs it. Axes: row, feature.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError

Parts = tuple[dict[str, Any], dict[str, Tensor]]


def foreign_parts(path: Path) -> Parts | None:
    """Configuration (sae-lens' keys) and weights of a folder in another format; `None` where it is none we know.

    Raises:
        UserError: a format that is known and not supported, or a damaged file of a supported one.
    """
    for file, read in (("ae.pt", _dictionary_learning), ("sae.safetensors", _sparsify), ("params.npz", _gemma_scope)):
        if (path / file).is_file():
            try:
                return read(path)
            except UserError:
                raise
            except Exception as error:  # torch, safetensors, numpy and json each raise their own
                line = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(f"expected {file} in {path}; it is damaged ({line[:160]}); copy it again") from error
    _refuse_known(path)
    return None


def _refuse_known(path: Path) -> None:
    names = sorted(item.name for item in path.iterdir())
    known = {
        "circuit-tracer's transcoder set": [n for n in names if re.fullmatch(r"(layer|W_enc)_\d+\.safetensors", n)],
        "an sae-lens file of before version 3": [n for n in names if n.endswith((".pt", ".pkl.gz"))],
        "a Neuronpedia export": [n for n in names if n.endswith((".jsonl.gz", "-features.json"))],
    }
    for kind, found in known.items():
        if found:
            raise UserError(
                f"expected a dictionary of sae-lens, dictionary_learning, sparsify or Gemma Scope in {path}; "
                f"{found[0]} is {kind}, which is not read; convert it with sae-lens' save_model"
            )


def _dictionary_learning(path: Path) -> Parts:
    """`ae.pt` of dictionary_learning (saprmarks): state dicts of `dictionary.py`, trainer's `config.json` beside."""
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
    config: dict[str, Any] = {"architecture": kind, "apply_b_dec_to_input": kind != "jumprelu" or linear}
    if "decoder.bias" in state:
        config["apply_b_dec_to_input"] = False  # AutoEncoderNew subtracts nothing
    if kind == "gated":
        weights |= {"b_gate": state["gate_bias"], "b_mag": state["mag_bias"], "r_mag": state["r_mag"]}
        return _with_place(config, _unit_decoder(weights), trainer)
    weights["b_enc"] = state["encoder.bias"] if linear else state["b_enc"]
    if kind == "topk":
        config |= {"k": int(state.get("k", trainer.get("k", 0))), "rescale_acts_by_decoder_norm": False}
    if kind == "jumprelu":
        weights["threshold"] = state["threshold"].float().expand(len(weights["b_enc"])).clone()
        weights = weights if linear else _unit_decoder(weights)
    return _with_place(config, weights, trainer)


def _kind_of_state(state: Mapping[str, Tensor], name: str) -> str:
    if "gate_bias" in state:
        return "gated"
    if "W_enc" in state or "BatchTopK" in name:
        return "jumprelu"
    return "topk" if "k" in state or "TopK" in name else "standard"


def _unit_decoder(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Features in units of what they write, as these classes' `encode` gives them (times the decoder's norm)."""
    norm = weights["W_dec"].norm(dim=1).clamp_min(1e-12)
    scaled = {n: weights[n] * norm for n in ("W_enc", "b_enc", "b_gate", "b_mag", "threshold") if n in weights}
    return {**weights, **scaled, "W_dec": weights["W_dec"] / norm[:, None]}


def _with_place(config: dict[str, Any], weights: dict[str, Tensor], trainer: Mapping[str, Any]) -> Parts:
    """Hook and model from dictionary_learning's configuration: the output of a module of a layer."""
    layer, module = trainer.get("layer"), str(trainer.get("submodule_name") or "")
    kinds = {"attn": "attn_out", "attention": "attn_out", "self_attn": "attn_out", "mlp": "mlp_out"}
    suffix = f"hook_{kinds.get(re.split('[._]', module)[0], 'resid_post')}"
    metadata = {"model_name": str(trainer.get("lm_name") or "")}
    if layer is not None:
        metadata["hook_name"] = f"blocks.{layer}.{suffix}"
    return config | {"metadata": metadata}, weights


def _sparsify(path: Path) -> Parts:
    """`sae.safetensors` and `cfg.json` of EleutherAI's sparsify; the folder's name says the module it reads."""
    from safetensors.torch import load_file

    words = json.loads((path / "cfg.json").read_text("utf-8"))
    state = load_file(path / "sae.safetensors")
    if "W_skip" in state:
        raise UserError(f"expected a dictionary without a skip connection; {path} has W_skip, which is not read")
    if words.get("signed"):
        raise UserError(f"expected features of one sign; {path} is a signed TopK of sparsify, which is not read")
    weights = {"W_enc": state["encoder.weight"].T, "b_enc": state["encoder.bias"]}
    weights |= {"W_dec": state["W_dec"], "b_dec": state["b_dec"]}
    transcodes = bool(words.get("transcode"))
    config: dict[str, Any] = {"architecture": "topk", "k": int(words["k"]), "rescale_acts_by_decoder_norm": False}
    config["apply_b_dec_to_input"] = not transcodes
    if transcodes:
        raise UserError(f"expected an SAE; {path} is a TopK transcoder of sparsify, for which sae-lens has no class")
    found = re.search(r"layers[._](\d+)(?:[._](\w+))?", path.name)
    if found:
        kinds = {"mlp": "mlp_out", "attn": "attn_out", "self_attn": "attn_out"}
        config["metadata"] = {"hook_name": f"blocks.{found[1]}.hook_{kinds.get(found[2] or '', 'resid_post')}"}
    return config, weights


def _gemma_scope(path: Path) -> Parts:
    """`params.npz` of Gemma Scope: JumpReLU; the path says the layer and, in the repository's name, the site."""
    with np.load(path / "params.npz", allow_pickle=False) as data:
        tensors = {re.sub("^w_", "W_", name): torch.tensor(data[name]).float() for name in data.files}
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(f"expected {', '.join(names)} in {path / 'params.npz'}; it lacks {missing[0]}; copy it again")
    where = str(path.resolve())
    layer, site = re.search(r"layer_(\d+)", where), re.search(r"-(res|mlp|att)(?:-|/|$)", where)
    metadata = {}
    if layer and (site is None or site[1] != "att"):
        suffix = "hook_mlp_out" if site and site[1] == "mlp" else "hook_resid_post"
        metadata = {"hook_name": f"blocks.{layer[1]}.{suffix}"}
    config = {"architecture": "jumprelu", "apply_b_dec_to_input": False, "metadata": metadata}
    return config, {name: tensors[name] for name in names}


def lens_object(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: str = "cpu") -> Any:
    """sae-lens' own inference class with these weights; sizes are those of the weights.

    Raises:
        UserError: tensors whose shapes do not fit together.
    """
    from sae_lens import SAE

    d_in, n_features = weights["W_enc"].shape
    known = dict(config) | {"d_in": d_in, "d_sae": n_features, "dtype": "float32", "device": device}
    known["metadata"] = dict(config.get("metadata", {}))
    name = str(config["architecture"])
    made = SAE.get_sae_config_class_for_architecture(name).from_dict(known)
    inference_class: Any = SAE.get_sae_class_for_architecture(name)
    sae = inference_class(made)
    try:
        sae.load_state_dict({key: value.float().contiguous() for key, value in weights.items()})
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise UserError(f"expected weights of one dictionary; got {line[:200]}; copy the folder again") from error
    return sae
