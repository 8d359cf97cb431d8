"""`sae train --cross-layer` from flag to folder: continued bit for bit, saved as asked, on held-out text, replacing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.errors import UserError
from llm_codes.__main__ import main
from llm_codes.configs.saes import DictionaryOptions, TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.harvest import keep_mask
from llm_codes.lenses.saes.cross_layer import check_cross_layer
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.foreign.cross_layer import read_cross_layer
from llm_codes.lenses.saes.study import train_on_activations
from llm_codes.lenses.saes.training.loop import Training
from llm_codes.lenses.saes.training.places import specifications
from llm_codes.lenses.saes.training.specification import CrossLayerSpec, SAESpec
from llm_codes.lenses.saes.training.stream import ArrayStream
from llm_codes.models import load_model

D, N, K = 12, 24, 3
FLAGS = [
    "--architecture",
    "transcoder",
    "--cross-layer",
    "--sites",
    "mlp_in",
    "--sites-out",
    "mlp_out",
    "--layers",
    ":",
]


def arrays(count: int = 2048, layers: int = 2) -> dict[str, torch.Tensor]:
    """Inputs of layers, and outputs that the features of all layers below wrote."""
    generator = torch.Generator().manual_seed(0)
    out, written = {}, torch.zeros(count, 5)
    for layer in range(layers):
        on = torch.rand(count, 16, generator=generator) < 0.15
        features = on * torch.rand(count, 16, generator=generator)
        out[f"in{layer}"] = features @ torch.randn(16, D, generator=generator) + 1
        written = written + features @ torch.randn(16, 5, generator=generator)
        out[f"out{layer}"] = (layer + 1) * written
    return out


def spec(layers: int = 2, **changes: Any) -> CrossLayerSpec:
    options = {"k": K, "learning_rate": 1e-2} | changes
    return CrossLayerSpec(
        tuple(
            SAESpec(f"in{layer}", D, N, "transcoder", hook_out=f"out{layer}", d_out=5, **options)
            for layer in range(layers)
        )
    )


OPTIONS = TrainingOptions(tokens=64 * 40, train_batch_size=64, checkpoint_every=7, log_every=5, block_windows=2)


def test_interrupted_and_continued_is_bit_equal(tmp_path: Path) -> None:
    def run(folder: str, stop: int = 0) -> Any:
        training = Training(ArrayStream(arrays(), rows=512), [spec()], tmp_path / folder, OPTIONS)

        def leave(step: int) -> None:
            if step == stop:
                raise KeyboardInterrupt

        training.every_step = leave
        return training.run()[0].state()

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", stop=17)
    continued = run("parts")
    assert {"scales", "0/encoder", "1/decoder"} <= set(whole)
    for name, value in whole.items():
        assert torch.equal(value, continued[name]), name


def test_one_layer_is_saved_as_a_plain_transcoder_is(tmp_path: Path) -> None:
    rows = arrays(layers=1)
    (plain,) = train_on_activations(rows, [spec(1).first], tmp_path / "plain", OPTIONS)
    (crossed,) = train_on_activations(rows, [spec(1)], tmp_path / "crossed", OPTIONS)
    one, other = load_sae(plain), read_cross_layer(crossed).places()[0]
    torch.testing.assert_close(one.encode(rows["in0"]), other.encode(rows["in0"]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.written_from(rows), other.written_from(rows), atol=1e-4, rtol=1e-4)
    logs = [[json.loads(line)["fvu"] for line in (f / "metrics.jsonl").open()] for f in (plain, crossed)]
    assert logs[0] == logs[1]


def test_what_is_saved_is_what_is_reported_and_vectors_have_unit_norm(tmp_path: Path) -> None:
    rows = arrays()
    (folder,) = train_on_activations(rows, [spec()], tmp_path, OPTIONS, provenance={"model_name": "arrays"})
    found = read_cross_layer(folder)
    assert found.metadata["model_name"] == "arrays"
    assert found.metadata["neural_codes"]["hooks"] == ["in0", "in1"]
    for layer, place in enumerate(found.places()):
        said = found.metadata["saved"][layer]
        features, out = place.encode(rows[f"in{layer}"]), rows[f"out{layer}"]
        fvu = float((place.written_from(rows) - out).square().sum() / (out - out.mean(0)).square().sum())
        assert abs(said["l0"] - K) < 0.15 and fvu < 0.6
        assert float((features > 0).sum(1).float().mean()) == pytest.approx(said["l0"], rel=0.05)
        assert fvu == pytest.approx(said["fvu"], rel=0.05)
        norms = found.decoders[layer].flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(N), atol=1e-5, rtol=1e-5)


def test_the_command_reports_each_layer_and_replacement_reads_the_folder(
    tmp_path: Path, tiny_model_folder: Path, text_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--threads", "1"]
    sizes = ["--tokens", "4096", "--train-batch-size", "128", "--block-windows", "16", "--width", "2x", "--k", "6"]
    out = tmp_path / "run"
    assert main(["sae", "train", *text, *FLAGS, *sizes, "--report-tokens", "600", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    model = load_model(tiny_model_folder)
    assert len(results["last_metrics"]) == model.n_layers and len(results["saes"]) == 1
    for row in results["last_metrics"]:
        assert row["asked_l0"] == 6 and abs(row["saved_l0"] - 6) < 0.5 and 0 <= row["saved_silent_share"] < 1
        assert row["held_out_fvu"] > 0 and row["kl"] > 0 and row["ce_delta"] is not None
    found = check_cross_layer(read_cross_layer(out), model)
    corpus = load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=600, split="held-out")
    error, outputs = 0.0, []
    for batch in corpus.batches(8):  # by hand: the last layer's error on held-out documents
        seen, keep = model.activations(batch.tokens, [*found.hooks, found.hooks_out[-1]]), keep_mask(batch, 1)
        made = found.places()[-1].written_from(seen)
        error += float((made - seen[found.hooks_out[-1]])[keep].square().sum())
        outputs.append(seen[found.hooks_out[-1]][keep])
    spread = float((torch.cat(outputs) - torch.cat(outputs).mean(0)).square().sum())
    assert results["last_metrics"][-1]["held_out_fvu"] == pytest.approx(error / spread, rel=0.05)
    capsys.readouterr()
    words = ["--transcoders", str(out), "--fit-tokens", "2000", "--tokens", "2000", "--split", "all"]
    assert main(["sae", "replacement", *text, *words, "--out", str(tmp_path / "replaced")]) == 0
    replaced = json.loads((tmp_path / "replaced" / "results.json").read_text())
    assert replaced["exactness"] < 1e-4
    graph = ["circuit", "graph", "--model", str(tiny_model_folder), "--prompt", "the cat", "--transcoders", str(out)]
    assert main([*graph, "--out", str(tmp_path / "graph")]) == 2
    assert (
        "is a cross-layer transcoder, whose features write to several; only `sae replacement`"
        in capsys.readouterr().err
    )


def test_layers_that_are_left_out_are_refused() -> None:
    model = load_model("embedded")
    options = {"architecture": "transcoder", "cross_layer": True, "sites": "mlp_in", "sites_out": "mlp_out"}
    (made,) = specifications(DictionaryOptions(**options, layers=":"), model)
    assert isinstance(made, CrossLayerSpec) and len(made.layers) == 6 and made.name == "cross-layer-transcoder-1536"
    assert made.n_weights == 1536 * 192 * (6 + 21) and len(made.places) == 12
    with pytest.raises(UserError, match="expected one site in each of the 6 layers of embedded for --cross-layer; got"):
        specifications(DictionaryOptions(**options, layers="2:5"), model)
    with pytest.raises(UserError, match="expected --cross-layer with --architecture transcoder; got topk; name that"):
        DictionaryOptions(cross_layer=True)


def test_layers_that_are_not_alike_are_refused() -> None:
    layers = spec().layers
    with pytest.raises(UserError, match="expected transcoders of one width at different layers; got in0 to out0, in0"):
        CrossLayerSpec((layers[0], layers[0]))
    with pytest.raises(UserError, match="expected transcoders of one width at different layers; got h to nothing"):
        CrossLayerSpec((SAESpec("h", 8, 16, k=2),))
