"""`harvest` and `--activations` on the command line: what is read, and what is refused in one line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from llm_codes.__main__ import main
from llm_codes.activation_store.store import ActivationStore

SPECTRA = "--sites mlp_out --layers 1 --fit-first 2 --fit-last 20 --threads 1"


@pytest.fixture(scope="module")
def store(tiny_model_folder, text_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("store") / "store"
    flags = f"--model {tiny_model_folder} --corpus {text_folder} --context 32 --tokens 3000 --sites mlp_out --layers 1"
    assert main(["harvest", *flags.split(), "--split", "train", "--threads", "1", "--store", str(place)]) == 0
    return place


@pytest.fixture
def foreign(tmp_path):
    draw = np.random.default_rng(0)
    windows = [{"mlp": draw.normal(size=(20, 12))} for _ in range(40)]
    return ActivationStore.write(tmp_path / "foreign", windows, model="served elsewhere").folder


def refused(arguments: str, capsys) -> str:
    assert main(arguments.split()) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def results(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_harvest_states_every_shard(store):
    found = results(store)
    assert found["sha256"] == ActivationStore.open(store).sha256
    assert [shard["file"] for shard in found["shards"]] == ["shard-00000.safetensors"]
    assert found["sites"][0]["site"] == "mlp_out@1"


def test_spectra_of_the_command_are_those_of_the_model(store, tiny_model_folder, text_folder, tmp_path):
    model = f"--model {tiny_model_folder} {SPECTRA}"
    text = f"--corpus {text_folder} --context 32 --tokens 3000 --split train"
    assert main([*f"spectra {model} {text}".split(), "--out", str(tmp_path / "live")]) == 0
    assert main([*f"spectra {model} --activations {store}".split(), "--out", str(tmp_path / "stored")]) == 0
    live, stored = results(tmp_path / "live"), results(tmp_path / "stored")
    assert stored["sites"] == live["sites"]
    assert stored["control_sites"] == live["control_sites"]
    assert stored["provenance"]["corpus"] == live["provenance"]["corpus"]
    assert stored["provenance"]["inputs"]["activations"] == ActivationStore.open(store).sha256
    page = next((tmp_path / "stored").glob("*.html")).read_text(encoding="utf-8")
    assert "computed before, read here" in page


def test_a_dictionary_of_the_command(store, tiny_model_folder, tmp_path):
    flags = "--layers 1 --width 2x --k 4 --tokens 2048 --train-batch-size 128 --block-windows 16 --threads 1"
    train = f"sae train --activations {store} --model none {flags} --out {tmp_path}/sae"
    assert main(train.split()) == 0
    assert results(tmp_path / "sae")["provenance"]["inputs"]["activations"] == ActivationStore.open(store).sha256
    measured = f"sae eval --sae {tmp_path}/sae --model {tiny_model_folder} --split all --tokens 2000 --context 32"
    assert main([*measured.split(), "--dashboards", "0", "--threads", "1", "--out", str(tmp_path / "eval")]) == 0


def test_activations_of_another_program_need_no_model(foreign, tmp_path):
    flags = "--model none --no-control --sites mlp --fit-first 1 --fit-last 8 --threads 1"
    assert main([*f"spectra --activations {foreign} {flags}".split(), "--out", str(tmp_path / "out")]) == 0
    found = results(tmp_path / "out")
    assert found["sites"][0]["width"] == 12
    assert found["sites"][0]["n_tokens"] == 40 * 19  # position 0 left out
    assert found["provenance"]["model"]["name"] == "served elsewhere"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("spectra --model embedded", "expected activations of --model embedded (weights "),
        (
            "spectra --model none",
            "expected a model for the untrained control (--no-control leaves it out); got",
        ),
        ("spectra --model none --no-control --corpus wikitext-2", "expected no --corpus beside --activations"),
        ("spectra --model none --no-control --split held-out", "expected activations of split held-out; those in"),
        ("spectra --model none --no-control --context 64", "expected windows as stored in"),
        ("spectra --model none --no-control --sites resid_post", "expected a site stored in"),
        ("spectra --model none --no-control --layers 0", "got layer 0; harvest it, or mend --layers"),
        ("sae train --model none --untrained", "expected --untrained without --activations"),
        ("sae train --model none --report-tokens 500", "expected no --report-tokens beside --activations"),
    ],
)
def test_what_does_not_fit_the_store_is_refused(arguments, words, store, tmp_path, capsys):
    sites = "" if "--sites" in arguments else "--sites mlp_out"
    assert words in refused(f"{arguments} {sites} --activations {store} --out {tmp_path}/out --threads 1", capsys)


def test_a_store_of_other_weights_is_refused_by_name(store, tiny_model_folder, tmp_path, capsys):
    shutil.copytree(tiny_model_folder, tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    weights["transformer.h.0.mlp.c_proj.bias"][0] += 1e-3
    save_file(weights, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    line = refused(f"spectra --model {tmp_path}/other --activations {store} {SPECTRA} --out {tmp_path}/out", capsys)
    assert f"those in {store} are of {tiny_model_folder} (weights " in line


def test_activations_without_weights_are_refused_beside_a_model(foreign, tiny_model_folder, tmp_path, capsys):
    line = refused(f"spectra --model {tiny_model_folder} --activations {foreign} --out {tmp_path}/out", capsys)
    assert "do not say of which weights they are; pass --model none" in line


def test_verbs_that_do_not_read_a_store_say_so(store, tmp_path, capsys):
    assert "--activations" in refused(f"polytopes --activations {store} --out {tmp_path}/out", capsys)


def test_a_training_does_not_go_on_with_other_activations(foreign, tmp_path, capsys):
    flags = "--model none --sites mlp --layers : --width 24 --k 4 --tokens 600 --train-batch-size 32 --threads 1"
    command = f"sae train {flags} --activations {tmp_path}/place --out {tmp_path}/sae"
    shutil.copytree(foreign, tmp_path / "place")
    assert main(command.split()) == 0
    shutil.rmtree(tmp_path / "place")
    ramp = np.arange(240, dtype=float).reshape(20, 12)
    ActivationStore.write(tmp_path / "place", [{"mlp": ramp + number} for number in range(40)], model="another")
    assert "expected the activations that" in refused(command, capsys)
