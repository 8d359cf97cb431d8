"""Spectra and dictionaries from a store are those from the model: the same numbers, the same order of tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from eval.measures.spectra.spectrum import Spectrum
from llm_codes.activation_store.store import ActivationStore
from llm_codes.activation_store.study import harvest_activations
from llm_codes.configs.harvest import StoreOptions
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.saes.study import train_saes, words_of
from llm_codes.lenses.saes.training.loop import Training
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.lenses.saes.training.stream import ActivationStream
from llm_codes.lenses.spectra.moments import SiteMomentsConsumer
from llm_codes.lenses.spectra.study import spectra
from llm_codes.models import load_model

SITES = ("mlp_out", "resid_post")
HOOKS = ("blocks.1.mlp.hook_out", "blocks.1.hook_out")
FIT = TrainingOptions(tokens=60 * 128, train_batch_size=128, block_windows=16, checkpoint_every=7)
SPECS = [
    SAESpec(HOOKS[0], 64, 128, k=6),
    SAESpec(HOOKS[0], 64, 96, architecture="transcoder", k=6, hook_out=HOOKS[1], d_out=64),
]


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=5000, split="all")


@pytest.fixture(scope="module")
def stores(model, corpus, tmp_path_factory):
    found = {}
    for dtype in ("float32", "bfloat16"):
        place = tmp_path_factory.mktemp("stores") / dtype
        options = StoreOptions(sites=SITES, layers="1", store_dtype=dtype, shard_mb=0.3)
        harvest_activations(model, corpus, place, options, dictionary=words_of(model))
        found[dtype] = ActivationStore.open(place)
    return found


def test_spectra_of_float32_are_those_of_the_model(model, corpus, stores):
    store = stores["float32"]
    asked = {"sites": SITES, "layers": "1", "fit_first": 2, "fit_last": 20, "with_position_0": True}
    live, stored = spectra(model, corpus, **asked), spectra(store, store.corpus, **asked)
    for site, eigenvalues in live.eigenvalues.items():
        assert np.abs(stored.eigenvalues[site] - eigenvalues).max() <= 1e-9 * eigenvalues[0]
    assert [row.to_json() for row in stored.sites] == [row.to_json() for row in live.sites]
    assert stored.provenance is not None
    assert stored.provenance["corpus"] == corpus.describe()
    assert stored.provenance["model"]["activations"]["sha256"] == store.sha256


def test_eigenvalues_of_bfloat16_are_within_the_tolerance_that_is_stated(model, corpus, stores):
    """Rounding is noise of at most 2^-9 of each value: 2^-18 / 3 of the mean square of an activation is added to every
    eigenvalue, and an eigenvalue moves by no more than 2^-8 of itself beside that."""
    store = stores["bfloat16"]
    sites = store.resolve_sites(SITES, "1")
    exact, rounded = SiteMomentsConsumer(sites), SiteMomentsConsumer(sites)
    harvest(model, corpus, [exact])
    harvest(store, store.corpus, [rounded])
    for site in sites:
        moments = exact.moments[site.hook]
        true, found = (Spectrum.of(consumer.moments[site.hook]).eigenvalues for consumer in (exact, rounded))
        noise = 2**-18 / 3 * (np.diag(moments.covariance()) + moments.mean() ** 2).max()
        assert (np.abs(found - true) <= 2**-8 * true + 2 * noise).all()
        assert not np.array_equal(found, true)


def train(source, corpus, folder):
    return [load_file(place / "sae_weights.safetensors") for place in train_saes(source, corpus, SPECS, folder, FIT)]


def test_dictionaries_of_a_store_are_those_of_the_model(model, corpus, stores, tmp_path):
    """Twelve blocks, one and a half epochs: the same windows in the same order, across all shards."""
    store = stores["float32"]
    assert len(store.manifest.shards) > 2
    assert FIT.tokens > 1.4 * corpus.n_tokens
    live, stored = train(model, corpus, tmp_path / "live"), train(store, store.corpus, tmp_path / "stored")
    for one, other in zip(live, stored, strict=True):
        for name, weights in one.items():
            torch.testing.assert_close(other[name], weights, rtol=1e-6, atol=1e-6, msg=name)


def test_a_killed_training_goes_on_exactly(stores, tmp_path):
    store = stores["float32"]
    whole = train(store, store.corpus, tmp_path / "whole")
    stream = ActivationStream(store, store.corpus, HOOKS, windows=16, batch_size=8)

    def kill(step: int) -> None:
        if step == 31:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(stream, SPECS, tmp_path / "killed", FIT, every_step=kill).run()
    for one, other in zip(whole, train(store, store.corpus, tmp_path / "killed"), strict=True):
        assert all(torch.equal(other[name], weights) for name, weights in one.items())


def test_the_dictionary_says_whose_activations_it_was_trained_on(model, stores):
    words = words_of(stores["float32"])
    assert words["activations_sha256"] == stores["float32"].sha256
    assert {name: words[name] for name in words_of(model)} == words_of(model)
