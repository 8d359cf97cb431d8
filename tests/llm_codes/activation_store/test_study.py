"""A store holds what the model gives, whole after every kill and damage, and no larger than was said."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.activation_store.forecast import forecast
from llm_codes.activation_store.layout import Manifest
from llm_codes.activation_store.store import ActivationStore
from llm_codes.activation_store.study import harvest_activations
from llm_codes.configs.harvest import StoreOptions
from llm_codes.corpus import load_corpus
from llm_codes.models import load_model, untrained_like
from llm_codes.sites import resolve_sites

OPTIONS = StoreOptions(sites=("mlp_out", "resid_post"), shard_mb=0.5)


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, split="all")


@pytest.fixture(scope="module")
def folder(model, corpus, tmp_path_factory):
    place = tmp_path_factory.mktemp("store") / "whole"
    harvest_activations(model, corpus, place, OPTIONS)
    return place


def test_the_store_holds_every_position_as_the_model_gives_it(model, corpus, folder):
    store = ActivationStore.open(folder)
    assert len(store.manifest.shards) > 2
    assert store.corpus.describe() == corpus.describe()
    for name in ("tokens", "mask", "document", "start", "window", "filled"):
        assert np.array_equal(getattr(store.corpus, name), getattr(corpus, name)), name
    assert store.corpus.documents == corpus.documents
    hooks = [site.hook for site in resolve_sites(model, OPTIONS.sites)]
    for batch in corpus.select(np.arange(0, len(corpus), 7)).batches(5):
        stored, live = {}, {}
        store.stream_batch(batch, hooks, stored.__setitem__)
        model.stream_batch(batch, hooks, live.__setitem__)
        assert list(stored) == list(live)  # in the order of the computation
        for hook in hooks:
            torch.testing.assert_close(stored[hook][batch.mask], live[hook][batch.mask], rtol=1e-5, atol=1e-6)


def test_the_manifest_says_whose_they_are(model, corpus, folder):
    manifest = Manifest.read(folder)
    assert manifest.model["weights_sha256"] == model.weights_sha256
    assert manifest.model["tokenizer_sha256"] == model.tokenizer_sha256
    assert manifest.corpus["sha256_of_tokens"] == corpus.describe()["sha256_of_tokens"]
    assert [(site.name, site.width) for site in manifest.sites] == [
        ("mlp_out@0", 64), ("resid_post@0", 64), ("mlp_out@1", 64), ("resid_post@1", 64)
    ]  # fmt: skip


def test_bfloat16_is_the_rounded_float32(model, corpus, folder, tmp_path):
    part = corpus.select(np.arange(8))
    harvest_activations(model, part, tmp_path / "half", replace(OPTIONS, store_dtype="bfloat16"))
    half, whole = ActivationStore.open(tmp_path / "half"), ActivationStore.open(folder)
    (batch,) = part.batches(8)
    hook, rounded, exact = "blocks.0.hook_out", {}, {}
    half.stream_batch(batch, [hook], rounded.__setitem__)
    whole.stream_batch(batch, [hook], exact.__setitem__)
    assert torch.equal(rounded[hook], exact[hook].bfloat16().float())
    assert not torch.equal(rounded[hook], exact[hook])


def test_what_is_lost_or_damaged_is_named_and_written_again(model, corpus, folder, tmp_path, capsys):
    place = tmp_path / "store"
    shutil.copytree(folder, place)
    (place / "store.json").unlink()  # killed before the end
    (place / "shard-00000.safetensors").unlink()
    cut = place / "shard-00001.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    bad = place / "shard-00002.safetensors"
    bad.write_bytes(bad.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="got an unfinished harvest; finish `harvest --store"):
        ActivationStore.open(place)
    made = harvest_activations(model, corpus, place, OPTIONS)
    said = capsys.readouterr().err
    for path in (cut, bad):
        assert f"{path} is damaged, or has no seal: set aside as {path.name}.damaged, written again" in said
        assert path.with_name(f"{path.name}.damaged").exists()
    assert f"{len(made.shards) - 3} of {len(made.shards)} shards were there and whole" in said
    assert made == Manifest.read(folder)  # the very bytes
    assert ActivationStore.open(place).corpus.n_tokens == corpus.n_tokens


def test_a_finished_store_is_left_alone(model, corpus, folder):
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*")}
    assert harvest_activations(model, corpus, folder, OPTIONS) == Manifest.read(folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*")} == before


def test_shards_of_other_weights_are_not_continued(model, corpus, folder, tmp_path, capsys):
    place = tmp_path / "store"
    shutil.copytree(folder, place)
    part = corpus.select(np.arange(len(corpus) // 2))
    other = untrained_like(model, seed=3)
    made = harvest_activations(other, part, place, OPTIONS)
    assert "shard-00000.safetensors holds activations of other weights, text or sites: set aside" in (
        capsys.readouterr().err
    )
    assert sorted(path.name for path in place.glob("shard-*.safetensors")) == [shard.file for shard in made.shards]
    assert ActivationStore.open(place).manifest.model["weights_sha256"] == other.weights_sha256


def test_the_forecast_is_what_the_store_takes(corpus, folder, model):
    planned = forecast(corpus, resolve_sites(model, OPTIONS.sites), "float32", OPTIONS.shard_mb)
    sizes = [path.stat().st_size for path in folder.glob("shard-*.safetensors")]
    assert planned.shards == len(sizes)
    assert planned.rows == corpus.lengths.sum()
    assert sum(sizes) == pytest.approx(planned.n_bytes, rel=0.02)
    assert max(sizes) <= 0.5 * 2**20 + 4096


def test_a_store_that_is_too_large_is_refused_before_anything_runs(model, corpus, tmp_path, capsys, monkeypatch):
    place = tmp_path / "store"
    with pytest.raises(
        UserError, match=r"expected a store of at most 0.001 GB; .* GB would be written; lower --tokens"
    ):
        harvest_activations(model, corpus, place, replace(OPTIONS, max_store_gb=0.001))
    assert "positions at 4 sites will take" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30, 1000))
    with pytest.raises(UserError, match=r"expected .* GB free at .*store; got 9.31e-07 GB; lower --tokens"):
        harvest_activations(model, corpus, place, OPTIONS)
    with pytest.raises(UserError, match="lower --batch-size, take fewer --sites"):
        monkeypatch.undo()
        from llm_codes.configs.inputs import HarvestOptions

        harvest_activations(model, corpus, place, OPTIONS, harvest_options=HarvestOptions(max_memory_gb=1e-6))
    assert not place.exists()


def test_activations_that_are_not_finite_are_named(model, corpus, tmp_path):
    weight = model.bridge.original_model.transformer.h[1].mlp.c_proj.bias
    before = weight.data[0].item()
    weight.data[0] = float("inf")
    try:
        with pytest.raises(UserError, match="NaN or infinity at blocks.1.mlp.hook_out in batch 0"):
            harvest_activations(model, corpus, tmp_path / "store", OPTIONS)
    finally:
        weight.data[0] = before
