"""The other side of `test_formats_packages`: makes dictionaries with packages of others, says what they compute.

    python package_side.py FOLDER

Run where dictionary_learning, sparsify and circuit-tracer are installed; it imports nothing of ours. FOLDER/NAME is a
dictionary's folder as its package writes it; FOLDER/NAME.npz holds `x`, `features` and `made` (its reconstruction).
nnsight, which two of them import for what is not used here (reading models), is left out.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

D, N, K = 12, 40, 4


class Absent(types.ModuleType):
    """A package whose names can be imported and subclassed, and do nothing."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for missing in ("nnsight", "nnsight.intervention", "nnsight.intervention.envoy"):
    sys.modules[missing] = Absent(missing)


def declare_operators() -> None:
    """transformers imports torchvision, whose compiled operators are missing beside a CPU-only torch."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(library)


KEPT: list[Any] = []


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Every parameter random, so that no bias is zero and no decoder the encoder's transpose."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.5)
    return module.eval()


def keep(folder: Path, name: str, x: torch.Tensor, features: torch.Tensor, made: torch.Tensor) -> None:
    arrays = {"x": x, "features": features, "made": made}
    np.savez(folder / f"{name}.npz", **{key: value.detach().float().numpy() for key, value in arrays.items()})


def dictionary_learning(folder: Path, x: torch.Tensor) -> None:
    from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    plain = (AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder)
    made: list[Any] = [kind(D, N) for kind in plain]
    made += [AutoEncoderTopK(D, N, K), BatchTopKSAE(D, N, K), MatryoshkaBatchTopKSAE(D, N, K, [10, 30])]
    for one in made:
        name = type(one).__name__
        shaken(one)
        if name == "JumpReluAutoEncoder":
            one.threshold.data.abs_()
        if hasattr(one, "threshold") and name != "JumpReluAutoEncoder":
            one.threshold.fill_(0.3)
        place = folder / name
        place.mkdir()
        torch.save(one.state_dict(), place / "ae.pt")
        trainer = {"dict_class": name, "layer": 2, "lm_name": "org/gpt2", "submodule_name": "mlp", "k": K}
        (place / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
        keep(folder, name, x, one.encode(x), one(x))


def sparsify(folder: Path, x: torch.Tensor) -> None:
    from sparsify import SparseCoder, SparseCoderConfig

    kinds = {"sae": {}, "transcoder": {"transcode": True}, "skip": {"transcode": True, "skip_connection": True}}
    for kind, options in kinds.items():
        coder = shaken(SparseCoder(D, SparseCoderConfig(num_latents=N, k=K, **options)))
        name = f"layers.3.mlp-{kind}"
        coder.save_to_disk(folder / name)
        top, places, _ = coder.encode(x)
        features = torch.zeros(len(x), N).scatter_(1, places, top)
        keep(folder, name, x, features, coder(x).sae_out)


def circuit_tracer(folder: Path, x: torch.Tensor) -> None:
    from circuit_tracer.transcoder.activation_functions import JumpReLU
    from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder
    from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder

    for kind, skip in (("relu", False), ("jumprelu", False), ("jumprelu-skip", True)):
        active = torch.nn.functional.relu if kind == "relu" else JumpReLU(torch.full((N,), 0.25))
        one = SingleLayerTranscoder(D, N, active, 1, skip_connection=skip, device=torch.device("cpu"), dtype=x.dtype)
        shaken(one)
        if kind != "relu":
            one.activation_function.threshold.data.abs_()
        place = folder / f"circuit-tracer-{kind}"
        place.mkdir()
        one.to_safetensors(str(place / "layer_1.safetensors"))
        hooks = "feature_input_hook: mlp.hook_in\nfeature_output_hook: mlp.hook_out\n"
        (place / "config.yaml").write_text(hooks)
        keep(folder, place.name, x, one.encode(x), one(x))
    for name, active in (("cross-layer", "relu"), ("cross-layer-jumprelu", "jump_relu")):
        whole = CrossLayerTranscoder(3, N, D, active, lazy_decoder=False, device=torch.device("cpu"), dtype=x.dtype)
        shaken(whole)
        if active == "jump_relu":
            whole.activation_function.threshold.data.abs_()
        whole.to_safetensors(str(folder / name))
        (folder / name / "config.yaml").write_text(hooks)
        rows = torch.stack([x, x.flip(0), x.roll(3, 0)])
        keep(folder, name, rows, whole.encode(rows), whole(rows))


def read_ours(folder: Path) -> None:
    """Our transcoders, saved in circuit-tracer's files by the test, in circuit-tracer's own class."""
    from circuit_tracer.transcoder.single_layer_transcoder import load_transcoder_set

    files = {int(file.stem.split("_")[1]): str(file) for file in (folder / "ours").glob("layer_*.safetensors")}
    found = load_transcoder_set(
        files, "embedded", "mlp.hook_in", "mlp.hook_out", device=torch.device("cpu"), dtype=torch.float32
    )
    x = torch.from_numpy(np.load(folder / "ours.npz")["x"])
    made = found.decode(found.encode(x), x)
    np.savez(folder / "ours-read.npz", features=found.encode(x).detach().numpy(), made=made.detach().numpy())


def read_our_cross_layer(folder: Path) -> None:
    """Our cross-layer transcoder, read by circuit-tracer with its decoders on disk and in memory."""
    from circuit_tracer.transcoder.cross_layer_transcoder import load_clt

    x = torch.from_numpy(np.load(folder / "ours-cross-layer.npz")["x"])
    for lazy in (True, False):
        found = load_clt(
            str(folder / "ours-cross-layer"), device=torch.device("cpu"), dtype=torch.float32, lazy_decoder=lazy
        )
        made = {"features": found.encode(x).detach().numpy(), "made": found(x).detach().numpy()}
        np.savez(folder / f"ours-cross-layer-{'lazy' if lazy else 'whole'}.npz", **made)


if __name__ == "__main__":
    torch.set_num_threads(1)
    declare_operators()
    into = Path(sys.argv[1])
    rows = torch.randn(30, D, generator=torch.Generator().manual_seed(9))
    dictionary_learning(into, rows)
    sparsify(into, rows)
    circuit_tracer(into, rows)
    if (into / "ours").is_dir():
        read_ours(into)
        read_our_cross_layer(into)
