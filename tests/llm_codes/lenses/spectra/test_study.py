"""Spectra of a hooked model against NumPy on stored activations; two processes; kill and resume; bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.__main__ import main
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.spectra import SpectraOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.spectra.study import spectra
from llm_codes.models import load_model
from llm_codes.sites import resolve_sites
from tests.killed import CONTEXT, call

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, split="all")


def arguments(model_folder: Path, text_folder: Path, out: Path, *more: str, verb: str = "spectra") -> list[str]:
    return [
        verb,
        *("--model", str(model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "6000"),
        *("--layers", "0:2", "--out", str(out), "--threads", "1", *more),
    ]


def test_eigenvalues_equal_numpy_in_float64(model, corpus):
    found = spectra(model, corpus)
    mask = corpus.mask.copy()
    mask[:, 0] = False
    for site in resolve_sites(model, ("resid_post", "mlp_post")):
        stored = model.activations(torch.from_numpy(corpus.tokens), [site])[site.hook][torch.from_numpy(mask)]
        values = np.linalg.eigvalsh(np.cov(stored.double().numpy().T))[::-1]
        kept = min(200, site.width) - 2
        assert np.allclose(found.eigenvalues[site.name][:kept], values[:kept], rtol=1e-5, atol=1e-12 * values[0])


def test_position_zero_is_reported_beside(model, corpus):
    (row,) = spectra(model, corpus, sites="resid_post", layers=1, with_position_0=True).sites
    assert row.with_position_0.n_tokens == corpus.mask.sum()
    assert row.n_tokens == corpus.mask[:, 1:].sum()


def test_a_script_and_its_command_have_one_set_of_options(model, corpus):
    by_name = spectra(model, corpus, sites="mlp_post", layers="1:", fit_first=5, fit_last=20, exclude_positions=2)
    options = SpectraOptions(sites=("mlp_post",), layers="1:", fit_first=5, fit_last=20)
    assert spectra(model, corpus, options, harvest_options=HarvestOptions(exclude_positions=2)) == by_name
    assert by_name.index_range == (5, 20) and by_name.sites[0].n_tokens == corpus.mask[:, 2:].sum()
    for name, text in {
        "fit_frist": "unknown option 'fit_frist' of SpectraOptions: did you mean fit_first",
        "batch_szie": "unknown option 'batch_szie' of SpectraOptions: did you mean batch_size",
    }.items():
        with pytest.raises(UserError, match=text):
            spectra(model, corpus, **{name: 3})
    with pytest.raises(UserError, match="expected --fit-last above --fit-first 10; got 9; widen the range"):
        spectra(model, corpus, fit_last=9)
    with pytest.raises(UserError, match="expected --exclude-positions .* at least 0; got -1"):
        spectra(model, corpus, exclude_positions=-1)
    with pytest.raises(UserError, match="fewer left-out positions than a window has, 32; got 32"):
        spectra(model, corpus, exclude_positions=32)


def test_a_result_is_a_frame_a_file_and_a_picture(model, corpus, tmp_path):
    from eval.results import load_result

    found = spectra(model, corpus)
    frame = found.to_frame()
    assert list(frame["site"]) == [row.site for row in found.sites]
    assert {"alpha", "alpha_corrected", "alpha_ci"} <= set(frame.columns)
    assert load_result(found.save(tmp_path / "found.json")) == found
    assert len(repr(found).splitlines()) <= 12 and "<table>" in found._repr_html_()
    found.plot().savefig(tmp_path / "alpha.png")


def test_results_hold_the_contract(tiny_model_folder, text_folder, tmp_path, capsys):
    assert main(arguments(tiny_model_folder, text_folder, tmp_path / "run")) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    keys = {"site", "kind", "layer", "width", "n_tokens", "n_documents", "alpha", "alpha_corrected", "alpha_ci", "r2"}
    keys |= {"participation_ratio", "top_direction_share"}
    for row in results["sites"]:
        assert keys <= set(row)
        assert (row["alpha_corrected"] is None) == ("alpha_corrected_reason" in row)
        if row["alpha_ci"] is not None:
            assert row["alpha_ci"][0] < row["alpha_corrected"] < row["alpha_ci"][1]
    assert len(results["control_sites"]) == len(results["sites"]) == 4
    assert results["provenance"]["seed"] == 0
    assert results["provenance"]["corpus"]["n_documents"] == 30
    for name in ("report.html", "figures/alpha-by-depth.pdf", "figures/spectra.png", "tables/spectra.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert "resid_post@0" in capsys.readouterr().out


def test_too_few_documents_are_undefined_with_the_reason(model, text_folder):
    few = load_corpus(str(text_folder / "00.txt"), model.tokenizer, context=32, split="all")
    (row,) = spectra(model, few, sites="resid_post", layers=[0]).sites
    assert row.alpha_corrected.value is None
    assert "documents" in row.alpha_corrected.reason
    assert row.to_json()["alpha_corrected_reason"] == row.alpha_corrected.reason


def test_two_processes_give_the_numbers_of_one(tiny_model_folder, text_folder, tmp_path):
    assert main(arguments(tiny_model_folder, text_folder, tmp_path / "one", "--no-control")) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "llm_codes"]
    more = arguments(tiny_model_folder, text_folder, tmp_path / "two", "--no-control")
    out = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr[-2000:]
    one, two = (json.loads((tmp_path / name / "results.json").read_text())["sites"] for name in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert (a["n_tokens"], a["n_documents"]) == (b["n_tokens"], b["n_documents"])
        for key in ("alpha", "alpha_corrected", "r2", "participation_ratio", "top_direction_share"):
            same = a[key] is b[key] is None or a[key] == pytest.approx(b[key], rel=1e-6)
            assert same, key


def test_kill_and_rerun_gives_the_same_results(tiny_model_folder, text_folder, tmp_path):
    whole = arguments(tiny_model_folder, text_folder, tmp_path / "whole")
    assert main(whole) == 0
    killed = arguments(tiny_model_folder, text_folder, tmp_path / "killed")
    process = CONTEXT.Process(target=call, args=("llm_codes", killed, str(tmp_path / "log")))
    process.start()
    item = tmp_path / "killed" / "items" / "spectra-model.json"
    while process.is_alive() and not item.exists():
        time.sleep(0.02)
    process.kill()
    process.join()
    stamp = item.stat().st_mtime_ns
    assert main(killed) == 0
    assert item.stat().st_mtime_ns == stamp  # the finished part was read back, not computed again
    a, b = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "killed"))
    assert a["sites"] == b["sites"] and a["control_sites"] == b["control_sites"]


def test_weights_replaced_in_the_folder_are_measured_again(tiny_model_folder, text_folder, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    command = arguments(folder, text_folder, tmp_path / "run", "--no-control", "--sites", "resid_post")
    assert main(command) == 0
    before = json.loads((tmp_path / "run" / "results.json").read_text())
    torch.manual_seed(9)
    GPT2LMHeadModel(GPT2Config.from_pretrained(folder)).save_pretrained(folder)
    assert main(command) == 0
    after = json.loads((tmp_path / "run" / "results.json").read_text())
    hashes = [run["provenance"]["model"]["weights_sha256"] for run in (before, after)]
    assert hashes[0] != hashes[1]
    shares = [[row["top_direction_share"] for row in run["sites"]] for run in (before, after)]
    assert shares[0] != shares[1]


def test_bad_input_is_one_line(tiny_model_folder, text_folder, tmp_path, capsys):
    cases = {
        "unknown site 'resid_pots': did you mean resid_post": ("--sites", "resid_pots"),
        "expected at most 1e-05 GB beyond the model": ("--max-memory-gb", "0.00001"),
        "expected layers within 0..1": ("--layers", "7"),
    }
    for number, (text, more) in enumerate(cases.items()):
        assert main([*arguments(tiny_model_folder, text_folder, tmp_path / str(number)), *more]) == 2
        error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(error) == 1 and text in error[0]
