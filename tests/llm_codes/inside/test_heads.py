"""Heads on small random models: v and z are what plain hooks see, one head is read and written by itself."""

from __future__ import annotations

import pytest
import torch

from eval.errors import UserError
from llm_codes.corpus import load_corpus
from llm_codes.inside.heads import head_checks
from llm_codes.lenses.spectra.study import spectra
from llm_codes.models import load_model
from llm_codes.sites import list_inside_sites, resolve_site, resolve_sites
from tests.architectures import TOKENS, build, small_tokenizer

OUTPUT = {
    "GPT-2": "transformer.h.1.attn.c_proj",
    "Llama": "model.layers.1.self_attn.o_proj",
    "Gemma 2": "model.layers.1.self_attn.o_proj",
    "BLOOM": "transformer.h.1.self_attention.dense",
    "MPT": "transformer.blocks.1.attn.out_proj",
    "Pythia, GPT-NeoX": "gpt_neox.layers.1.attention.dense",
    "Falcon": "transformer.h.1.self_attention.dense",
    "Phi 3": "model.layers.1.self_attn.o_proj",
    "Mixtral": "model.layers.1.self_attn.o_proj",
}
"""The module that projects the heads of layer 1: what it is given is z."""


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.mark.parametrize("family", OUTPUT)
def test_heads_are_what_the_output_projection_is_given(family, tokenizer):
    plain = build(family)
    model = load_model(plain, tokenizer=tokenizer)
    seen = []
    plain.get_submodule(OUTPUT[family]).register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        plain(TOKENS)
    whole, one = resolve_site(model, "z", 1), resolve_site(model, "z.3@1")
    read = model.activations(TOKENS, [whole, one])
    assert torch.allclose(read[whole.hook], seen[0], atol=1e-5) and whole.width == 64
    assert torch.allclose(read[one.hook], seen[0][..., 48:], atol=1e-5) and (one.width, one.name) == (16, "z.3@1")
    assert head_checks(model).error < 1e-5 and head_checks(model).reasons == {}


def test_a_pattern_is_a_row_per_query_padded_to_the_context(tokenizer):
    model = load_model(build("Mistral"), tokenizer=tokenizer)
    whole, one = resolve_site(model, "pattern", 1), resolve_site(model, "pattern.2@1")
    read = model.activations(TOKENS, [whole, one])
    assert (whole.width, one.width) == (4 * 64, 64) and read[whole.hook].shape == (2, 10, 256)
    pattern = read[one.hook]
    assert torch.allclose(pattern.sum(-1), torch.ones(2, 10)) and torch.equal(pattern, read[whole.hook][..., 128:192])
    assert torch.equal(pattern[..., :10].triu(1), torch.zeros(2, 10, 10)) and pattern[..., 10:].abs().max() == 0

    def to_itself(activation, hook):
        return torch.eye(10, 64).expand(2, 10, 64)

    z, v = resolve_site(model, "z.2", 1), resolve_site(model, "v.1", 1)
    after: dict[str, torch.Tensor] = {}
    keep = [(site.hook, lambda activation, hook, s=site: after.__setitem__(s.name, activation)) for site in (z, v)]
    model.logits(TOKENS, [(one.hook, to_itself), *keep])
    assert torch.allclose(after["z.2@1"], after["v.1@1"])  # a head that reads itself alone gives its own value


def test_a_head_is_written_by_itself(tokenizer):
    model = load_model(build("Llama"), tokenizer=tokenizer)
    whole, one = resolve_site(model, "z", 0), resolve_site(model, "z.1", 0)
    after: dict[str, torch.Tensor] = {}
    ablate = (one.hook, lambda activation, hook: torch.zeros_like(activation))
    keep = (whole.hook, lambda activation, hook: after.__setitem__("z", activation))
    model.logits(TOKENS, [ablate, keep])
    before = model.activations(TOKENS, [whole])[whole.hook]
    assert torch.equal(after["z"][..., 16:32], torch.zeros(2, 10, 16))
    assert torch.equal(after["z"][..., :16], before[..., :16]) and torch.equal(after["z"][..., 32:], before[..., 32:])
    same = model.logits(TOKENS, [(whole.hook, lambda activation, hook: activation)])
    assert torch.equal(same, model.logits(TOKENS))


def test_heads_are_sites_of_a_lens(tokenizer):
    model = load_model(build("GPT-2"), tokenizer=tokenizer)
    corpus = load_corpus([f"the cat {number} sat on the mat and ran " * 9 for number in range(30)], model, context=32)
    found = spectra(model, corpus, sites=("z", "v.2"), layers=":", fit_first=3, fit_last=12)
    assert [(row.site, row.width) for row in found.sites] == [
        *(("z@0", 64), ("z@1", 64)),
        *(("v.2@0", 16), ("v.2@1", 16)),
    ]


def test_heads_that_do_not_verify_are_not_offered(tokenizer):
    opt = load_model(build("OPT, odd MLP width"), tokenizer=tokenizer)
    with pytest.raises(UserError, match="has no z in layer 0: no attention pattern is read here to check them on; see"):
        resolve_site(opt, "z", 0)
    assert {row.hook for row in list_inside_sites(opt)} == {None} and len(list_inside_sites(opt)) == 10
    mamba = load_model(build("Mamba"), tokenizer=tokenizer)
    with pytest.raises(UserError, match="has no v.0 in layer 1: no attention heads are read here"):
        resolve_site(mamba, "v.0@1")
    llama = load_model(build("Llama"), tokenizer=tokenizer)
    with pytest.raises(UserError, match="expected a head within 0..1 of v in hf_model, got 2"):
        resolve_sites(llama, "v.2", 0)
    with pytest.raises(UserError, match="unknown site 'z.x': did you mean"):
        resolve_site(llama, "z.x", 0)
