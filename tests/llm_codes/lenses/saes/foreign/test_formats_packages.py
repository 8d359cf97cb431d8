"""Folders that dictionary_learning, sparsify and circuit-tracer make themselves, in an environment of their own.

The environment holds those packages without what they require, and sees this one's torch and transformers: their pins
clash with ours (dictionary_learning: nnsight below .4; circuit-tracer: huggingface-hub below 1).
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.foreign.circuit_tracer import write_set
from llm_codes.lenses.saes.foreign.cross_layer import read_cross_layer, write_cross_layer
from llm_codes.lenses.saes.shipped import shipped_transcoders
from tests.llm_codes.lenses.saes.foreign.test_cross_layer import random_cross_layer

ENVIRONMENT = Path(__file__).parents[5] / ".venv-dictionaries"
PACKAGES = ("dictionary-learning==0.1.0", "eai-sparsify==1.3.3", "circuit-tracer==0.5.0")
REQUIRED = ("simple-parsing", "docstring-parser", "natsort", "schedulefree", "accelerate")
LEARNED = ("AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder", "AutoEncoderTopK")
LEARNED += ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")
TRACED = ("circuit-tracer-relu", "circuit-tracer-jumprelu", "circuit-tracer-jumprelu-skip")
SPARSIFIED = ("layers.3.mlp-sae", "layers.3.mlp-transcoder", "layers.3.mlp-skip")


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python that has those packages; its environment is made once."""
    binary = ENVIRONMENT / "bin" / "python"
    if not binary.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        purelib = subprocess.run(
            [binary, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        )
        (Path(purelib.stdout.strip()) / "house.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([binary, "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES, *REQUIRED], check=True)
    return binary


@pytest.fixture(scope="module")
def made(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dictionaries as those packages write them, what their classes compute, and ours as circuit-tracer reads them."""
    folder = tmp_path_factory.mktemp("packages")
    saes = [load_sae(place) for _, place in sorted(shipped_transcoders().items())]
    write_set(saes, folder / "ours")
    x = torch.randn(len(saes), 20, 192, generator=torch.Generator().manual_seed(0))
    np.savez(folder / "ours.npz", x=x.numpy())
    write_cross_layer(random_cross_layer(3, 40, 12, threshold=0.2), folder / "ours-cross-layer")
    np.savez(folder / "ours-cross-layer.npz", x=x[:3, :, :12].numpy())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    script = Path(__file__).with_name("package_side.py")
    subprocess.run([python, script, folder], check=True, cwd=folder, env=environment | offline)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [*LEARNED, *SPARSIFIED, *TRACED])
def test_what_a_package_writes_is_read_as_its_class_computes_it(made: Path, name: str) -> None:
    theirs = np.load(made / f"{name}.npz")
    x, features, out = (torch.from_numpy(theirs[key]) for key in ("x", "features", "made"))
    sae = load_sae(made / name)
    torch.testing.assert_close(sae.encode(x), features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sae.reconstruct(x), out, atol=1e-5, rtol=1e-4)
    assert sae.is_transcoder == (name in TRACED or name.endswith(("transcoder", "skip")))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["cross-layer", "cross-layer-jumprelu"])
def test_a_cross_layer_transcoder_is_read_as_its_class_computes_it(made: Path, name: str) -> None:
    theirs = np.load(made / f"{name}.npz")
    x, features, out = (torch.from_numpy(theirs[key]) for key in ("x", "features", "made"))
    found = read_cross_layer(made / name)
    own = [found.features(layer, rows) for layer, rows in enumerate(x)]
    torch.testing.assert_close(torch.stack(own), features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        torch.stack([found.written(layer, own) for layer in range(3)]), out, atol=1e-5, rtol=1e-4
    )
    with pytest.raises(UserError, match="is a cross-layer transcoder, whose features write to several"):
        load_sae(made / name)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_circuit_tracer_reads_our_cross_layer_transcoder(made: Path) -> None:
    x = torch.from_numpy(np.load(made / "ours-cross-layer.npz")["x"])
    ours = random_cross_layer(3, 40, 12, threshold=0.2)
    own = [ours.features(layer, rows) for layer, rows in enumerate(x)]
    out = torch.stack([ours.written(layer, own) for layer in range(3)])
    assert 0 < float((torch.stack(own) > 0).float().mean()) < 0.5
    for kind in ("lazy", "whole"):
        found = np.load(made / f"ours-cross-layer-{kind}.npz")
        torch.testing.assert_close(torch.from_numpy(found["features"]), torch.stack(own), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(torch.from_numpy(found["made"]), out, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_circuit_tracer_reads_ours(made: Path) -> None:
    x = torch.from_numpy(np.load(made / "ours.npz")["x"])
    found = np.load(made / "ours-read.npz")
    for layer, place in sorted(shipped_transcoders().items()):
        sae = load_sae(place)
        torch.testing.assert_close(
            torch.from_numpy(found["features"][layer]), sae.encode(x[layer]), atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(
            torch.from_numpy(found["made"][layer]), sae.reconstruct(x[layer]), atol=1e-4, rtol=1e-4
        )
