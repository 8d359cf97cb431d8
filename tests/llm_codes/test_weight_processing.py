"""Processed weights: the same probabilities, other activations; what an SAE's metadata asks for; refusals."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from eval.errors import UserError
from llm_codes.models import load_model, untrained_like
from llm_codes.sites import resolve_site
from llm_codes.weight_processing import STEPS, processing_steps, steps_of_metadata

TOKENS = torch.randint(1, 300, (2, 12), generator=torch.Generator().manual_seed(0))
ALL = ",".join(STEPS)


def stream(model, layer: int = 1):
    site = resolve_site(model, "resid_post", layer)
    return model.activations(TOKENS, [site])[site.hook]


def test_the_words_for_it():
    assert processing_steps("raw") == processing_steps("") == ()
    assert processing_steps("sae") == ("center_writing_weights",)
    assert processing_steps("center_unembed, fold_ln") == ("fold_ln", "center_unembed")
    dictionary = SimpleNamespace(metadata={"model_from_pretrained_kwargs": {"fold_ln": True, "center_unembed": False}})
    assert processing_steps(dictionary) == ("fold_ln",)

    placed = {"center_writing_weights": True, "device": "cuda", "dtype": "bfloat16", "refactor_factored": False}
    assert steps_of_metadata({"model_from_pretrained_kwargs": placed}) == ("center_writing_weights",)
    assert steps_of_metadata({}) == steps_of_metadata({"model_from_pretrained_kwargs": None}) == ()


def test_what_metadata_asks_for_and_is_not_done_is_refused():
    with pytest.raises(
        UserError, match="the dictionary's metadata sets checkpoint_value=143000; load the model accord"
    ):
        steps_of_metadata({"model_from_pretrained_kwargs": {"fold_ln": True, "checkpoint_value": 143000}})


@pytest.mark.parametrize("processing", [*STEPS, ALL])
def test_probabilities_stay_as_they_are(processing, tiny_model_folder):
    raw, model = load_model(str(tiny_model_folder)), load_model(str(tiny_model_folder), processing=processing)
    assert torch.allclose(model.logits(TOKENS).log_softmax(-1), raw.logits(TOKENS).log_softmax(-1), atol=1e-4)
    assert model.weights_sha256 != raw.weights_sha256
    assert model.provenance()["weight_processing"] == processing


def test_centred_weights_write_a_stream_of_mean_zero(tiny_model_folder):
    raw = load_model(str(tiny_model_folder))
    centred = load_model(str(tiny_model_folder), processing="sae")
    assert torch.allclose(stream(centred), stream(raw) - stream(raw).mean(-1, keepdim=True), atol=1e-5)
    assert float(stream(raw).mean(-1).abs().max()) > 1e-3


def test_an_object_of_the_caller_is_processed_on_a_copy(tiny_model_folder):
    from transformers import GPT2LMHeadModel

    mine = GPT2LMHeadModel.from_pretrained(tiny_model_folder)
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    model = load_model(mine, tokenizer=load_model(str(tiny_model_folder)).tokenizer, processing=ALL)
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())
    assert model.processing == STEPS and model.weights_sha256 != load_model(str(tiny_model_folder)).weights_sha256


def test_the_control_is_processed_as_the_model_is(tiny_model_folder):
    control = untrained_like(load_model(str(tiny_model_folder), processing="sae"), seed=1)
    assert control.processing == ("center_writing_weights",)
    assert float(stream(control).mean(-1).abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("processing", "text"),
    [
        ("fold_lm", "unknown weight processing 'fold_lm': did you mean fold_ln"),
        (3, "expected processing='raw', 'sae', steps such as 'fold_ln,center_unembed' or an SAE; got int; pass one"),
    ],
)
def test_what_is_no_processing_is_refused(processing, text):
    with pytest.raises(UserError, match=text):
        processing_steps(processing)


def test_an_open_model_is_not_processed_again(tiny_model_folder):
    model = load_model(str(tiny_model_folder))
    with pytest.raises(UserError, match="an open model's own weight processing, raw; got processing=fold_ln; load"):
        load_model(model, processing="fold_ln")
    processed = load_model(str(tiny_model_folder), processing="fold_ln")
    assert load_model(processed).processing == load_model(processed, processing="fold_ln").processing == ("fold_ln",)
