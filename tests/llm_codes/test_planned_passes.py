"""Passes stay within the limit, are as few as can be and change no number; a killed run keeps the finished ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import UserError
from llm_codes.__main__ import main
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.spectra import SpectraOptions
from llm_codes.corpus import load_corpus
from llm_codes.hooked import numbers_of_block
from llm_codes.lenses.spectra import study
from llm_codes.lenses.spectra.study import planned_passes, spectra
from llm_codes.models import load_model
from llm_codes.planned_passes import GIGABYTE, in_words, plan_passes
from llm_codes.sites import Site, resolve_sites


def sites_of(*widths: int, layers: int) -> list[Site]:
    """By kind, then by layer, as `resolve_sites` gives them."""
    return [Site(f"{w}.{n}", f"kind{w}", n, w, "") for w in widths for n in range(layers)]


@given(st.integers(1, 12), st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True), st.floats(0.5, 30))
def test_passes_are_the_fewest_that_fit(layers, widths, limit):
    sites = sites_of(*widths, layers=layers)
    planned = plan_passes(sites, lambda some: GIGABYTE * sum(site.width for site in some), limit)
    assert sorted(site.hook for one in planned for site in one.sites) == sorted(site.hook for site in sites)
    if max(widths) > limit:
        assert len(planned) == 1  # refused as it is
        return
    assert all(one.n_bytes <= limit * GIGABYTE for one in planned)
    assert len(planned) >= sum(site.width for site in sites) / limit
    if sum(widths) <= limit:
        per_pass = limit // sum(widths)
        assert len(planned) == -(-layers // per_pass)
        assert max(one.n_layers for one in planned) - min(one.n_layers for one in planned) <= 1


def test_no_limit_is_one_pass():
    assert len(plan_passes(sites_of(1000, layers=9), lambda some: GIGABYTE * len(some), None)) == 1


@dataclass(frozen=True)
class Shape:
    """A model that is only a shape: what a plan needs of one."""

    d_model: int
    d_mlp: int
    n_heads: int
    dtype: torch.dtype = torch.float32

    def numbers_alive(self, windows: int, context: int) -> int:
        return numbers_of_block(windows, context, self.d_model, self.d_mlp, self.n_heads)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (4.0, "7 passes of 6 to 7 layers, at most 3.88 GB each (limit 4 GB)"),
        (8.0, "3 passes of 16 layers, 7.1 GB each (limit 8 GB)"),
        (16.0, "2 passes of 24 layers, 9.97 GB each (limit 16 GB)"),
        (24.0, None),
    ],
)
def test_gpt2_xl_is_planned_within_the_limit(limit, words):
    """48 layers, 1600 and 6400 wide, windows of 1,024 tokens one at a time: residual and MLP spectra at all layers."""
    sites = sites_of(1600, 6400, layers=48)
    walk = HarvestOptions(batch_size=1, max_memory_gb=limit)
    shape: Any = Shape(1600, 6400, 25)
    planned = planned_passes(shape, sites, SpectraOptions(), 1024, walk)
    assert max(one.n_bytes for one in planned) <= limit * GIGABYTE
    assert (in_words(planned, limit) if len(planned) > 1 else None) == words


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def limit(model):
    """Enough for one layer's residual stream, not for two."""
    asked = SpectraOptions(sites=("resid_post",))
    (whole,) = planned_passes(model, resolve_sites(model, asked.sites, "0"), asked, 32, HarvestOptions())
    return whole.n_bytes / GIGABYTE + 1e-6


def test_several_passes_give_the_numbers_of_one(model, text_folder, limit, capsys):
    corpus = load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=2500, split="all")
    one = spectra(model, corpus, sites="resid_post")
    assert "passes" not in capsys.readouterr().err
    several = spectra(model, corpus, sites="resid_post", max_memory_gb=limit)
    assert "spectra: 2 passes of 1 layer, 0.0" in capsys.readouterr().err
    assert list(several.eigenvalues) == list(one.eigenvalues)
    for site, eigenvalues in one.eigenvalues.items():
        assert abs(several.eigenvalues[site] - eigenvalues).max() <= 1e-12 * eigenvalues[0]
    assert [row.to_json() for row in several.sites] == [row.to_json() for row in one.sites]
    with pytest.raises(UserError, match="expected at most 0.001 GB beyond the model, .* would be needed"):
        spectra(model, corpus, sites="resid_post", max_memory_gb=0.001)


def test_a_killed_run_keeps_its_finished_passes(tiny_model_folder, text_folder, limit, tmp_path, monkeypatch, capsys):
    walks: list[int] = []
    harvest = study.harvest

    def counted(*arguments, **options):
        walks.append(1)
        if len(walks) == 2:
            raise KeyboardInterrupt
        return harvest(*arguments, **options)

    monkeypatch.setattr(study, "harvest", counted)
    text = f"--model {tiny_model_folder} --corpus {text_folder} --context 32 --tokens 2500 --no-control --threads 1"
    text += " --sites resid_post"
    command = ["spectra", *text.split(), "--out", str(tmp_path / "killed"), "--max-memory-gb", str(limit)]
    assert main(command) == 130
    assert main(command) == 0
    assert len(walks) == 3  # the first pass, the one that was killed, and that again
    assert "2 passes of 1 layer" in capsys.readouterr().err
    assert main(["spectra", *text.split(), "--out", str(tmp_path / "whole")]) == 0
    found, whole = (json.loads((tmp_path / name / "results.json").read_text())["sites"] for name in ("killed", "whole"))
    assert found == whole
