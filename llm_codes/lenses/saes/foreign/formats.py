"""Which format does a folder or file of others have? Read into sae-lens' classes, or named in one line.

| format | files | what becomes of it |
|---|---|---|
| dictionary_learning | `ae.pt`, `config.json` | standard, gated, TopK, BatchTopK, JumpReLU; tensors only |
| sparsify | `sae.safetensors`, `cfg.json` | TopK dictionaries, TopK transcoders with or without a skip map |
| Gemma Scope | `params.npz` | JumpReLU |
| circuit-tracer, per layer | `layer_N.safetensors`, `config.yaml` | ReLU, JumpReLU transcoders; with a skip map too |
| sae-lens before version 4 | `NAME.pt` | where its configuration is plain values; a pickled object is named |
| circuit-tracer, cross-layer | `W_enc_N.safetensors` | no dictionary of one place: `cross_layer.read_cross_layer` |
| Neuronpedia export | `*.jsonl.gz` | named, not read; one feature's JSON: `neuronpedia.read_feature` |

What a format does not say (a hook, a model) is left empty and named by whoever needs it. Axes: row, feature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.saes.foreign.circuit_tracer import LAYER, layer_files, one_layer
from llm_codes.lenses.saes.foreign.cross_layer import is_cross_layer
from llm_codes.lenses.saes.foreign.dictionary_learning import dictionary_learning_parts
from llm_codes.lenses.saes.foreign.gemma_scope import gemma_scope_parts
from llm_codes.lenses.saes.foreign.old_sae_lens import old_parts
from llm_codes.lenses.saes.foreign.sparsify import sparsify_parts

Parts = tuple[dict[str, Any], dict[str, Tensor]]
FOLDERS = (("ae.pt", dictionary_learning_parts), ("sae.safetensors", sparsify_parts), ("params.npz", gemma_scope_parts))


def foreign_parts(path: Path) -> Parts | None:
    """Configuration (sae-lens' keys) and weights of a folder or file in another format; `None` where we know none.

    Raises:
        UserError: a format that is known and not supported, or a damaged file of a supported one.
    """
    if path.is_file():
        return _of_file(path)
    for file, read in FOLDERS:
        if (path / file).is_file():
            return _reading(path / file, lambda read=read: read(path))
    layers = layer_files(path)
    if len(layers) > 1:
        raise UserError(
            f"expected one dictionary; {path} is circuit-tracer's set of {len(layers)} transcoders; name one file, "
            f"e.g. {layers[0]}, or give the folder where a set is asked for"
        )
    old = [item for item in path.iterdir() if item.suffix == ".pt"]
    if len(layers or old) == 1:
        return _of_file((layers or old)[0])
    _refuse_known(path)
    return None


def _of_file(file: Path) -> Parts:
    if LAYER.fullmatch(file.name):
        return _reading(file, lambda: one_layer(file))
    if file.suffix == ".pt":
        return _reading(file, lambda: old_parts(file))
    raise UserError(
        f"expected a dictionary's folder, a layer_N.safetensors of circuit-tracer or a .pt of sae-lens; got {file}; "
        "name the folder"
    )


def _reading(file: Path, read: Callable[[], Parts]) -> Parts:
    try:
        return read()
    except UserError:
        raise
    except Exception as error:  # torch, safetensors, numpy and json each raise their own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"expected {file.name} in {file.parent}; it is damaged ({line[:160]}); copy it again"
        ) from error


def _refuse_known(path: Path) -> None:
    names = sorted(item.name for item in path.iterdir())
    if is_cross_layer(path):
        raise UserError(
            f"expected dictionaries that write to one layer each; {path} is a cross-layer transcoder, whose features "
            "write to several; only `sae replacement` reads it; train one transcoder a layer (without --cross-layer)"
        )
    known = {
        "an sae-lens file of before version 3": r".*\.pkl\.gz",
        "a Neuronpedia export": r".*(\.jsonl\.gz|-features\.json)",
    }
    for kind, pattern in known.items():
        found = [name for name in names if re.fullmatch(pattern, name)]
        if found:
            raise UserError(
                f"expected a dictionary of sae-lens, dictionary_learning, sparsify, Gemma Scope or circuit-tracer in "
                f"{path}; {found[0]} is {kind}, which is not read; convert it with sae-lens' save_model"
            )


def lens_object(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: str = "cpu") -> Any:
    """sae-lens' own inference class with these weights; sizes are those of the weights.

    A transcoder with `k` keeps the k largest of its features: sae-lens' class with the activation of its TopK.

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
    if config.get("k") and name in ("transcoder", "skip_transcoder"):
        from sae_lens.saes.topk_sae import TopK

        sae.activation_fn = TopK(int(config["k"]), use_sparse_activations=False)
    try:
        sae.load_state_dict({key: value.float().contiguous() for key, value in weights.items()})
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise UserError(f"expected weights of one dictionary; got {line[:200]}; copy the folder again") from error
    return sae
