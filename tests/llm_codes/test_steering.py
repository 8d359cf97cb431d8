"""What a model says next, untouched and steered: exact sums, nothing left behind, refusals."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from eval.errors import UserError
from llm_codes.models import load_model
from llm_codes.sites import resolve_site

TEXT = "the cat sat on"


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


def test_what_is_added_is_added_where_it_is_said_and_gone_afterwards(model):
    tokens = torch.tensor([model.encode(TEXT)])
    out, post = (resolve_site(model, kind, 0) for kind in ("mlp_out", "resid_post"))
    direction = torch.randn(64, generator=torch.Generator().manual_seed(0))
    before, logits = model.activations(tokens, [out, post]), model.logits(tokens)
    with model.steered(site="mlp_out", layer=0, add=direction):
        inside = model.activations(tokens, [out, post])
        with model.steered(site="mlp_out@0", add=-direction):
            assert torch.allclose(model.logits(tokens), logits, atol=1e-4)
    for site in (out, post):
        assert torch.allclose(inside[site.hook], before[site.hook] + direction, atol=1e-5)
    assert torch.equal(model.logits(tokens), logits)


def test_a_failure_inside_leaves_nothing_behind(model):
    before = model.next_token(TEXT).probabilities
    with pytest.raises(RuntimeError), model.steered(site="resid_post", layer=1, add=torch.ones(64) * 9):
        raise RuntimeError
    assert torch.equal(model.next_token(TEXT).probabilities, before)


def test_the_next_token_is_the_softmax_of_the_last_logits(model):
    tokens = torch.tensor([[model.bos_token_id, *model.encode(TEXT)]])
    expected = model.logits(tokens)[0, -1].softmax(-1)
    found = model.next_token(TEXT)
    assert torch.allclose(found.probabilities, expected)
    (word, probability), *rest = found.top(5)
    assert (word, len(rest)) == (model.token_strings([int(expected.argmax())])[0], 4)
    assert probability == pytest.approx(float(expected.max()), abs=1e-6)


def test_a_continuation_is_seeded_and_steered(model):
    assert model.continuation(TEXT, 12, seed=3) == model.continuation(TEXT, 12, seed=3)
    assert model.continuation(TEXT, 12, seed=3) != model.continuation(TEXT, 12, seed=4)
    greedy = [model.continuation(TEXT, 5, seed=seed, temperature=0) for seed in (0, 1)]
    assert greedy[0] == greedy[1]
    assert isinstance(model.continuation(TEXT * 40, 3), str)  # longer than the context: read by its end
    rows = model.bridge.original_model.lm_head.weight.detach()
    with model.steered(site="resid_post", layer=1, add=1e3 * rows[65]):
        assert model.next_token(TEXT).top(1)[0].token == model.token_strings([65])[0]


def test_texts_continued_together_say_what_each_says_alone(model):
    texts = [TEXT, TEXT + " and", "We hold", TEXT, TEXT * 40]
    alone = [model.continuation(text, 8, seed=seed) for seed, text in enumerate(texts)]
    assert model.continuations(texts, 8, seeds=range(len(texts))) == alone
    with pytest.raises(UserError, match="expected a seed for each of 5 texts; got 1"):
        model.continuations(texts, 8, seeds=[0])


def test_a_text_that_ends_stops_alone(model, monkeypatch):
    read = [model._tokens(TEXT)] * 2

    def drawn() -> list[list[int]]:
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        return model._drawn(read, 8, generators, 1.0)

    first, second = drawn()
    end = next(token for token in first if token not in second)
    monkeypatch.setattr(model, "tokenizer", SimpleNamespace(eos_token_id=end))
    assert drawn() == [first[: first.index(end)], second]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.steered(site="mlp_ot", layer=0, add=torch.ones(64)), "unknown site 'mlp_ot': did you mean"),
        (
            lambda m: m.steered(site="mlp_out", layer=0, add=torch.ones(63)),
            r"of width 64, as mlp_out@0 of .*; got shape",
        ),
        (lambda m: m.steered(site="mlp_out", layer=0, add=2.0), r"got shape \[\]; take one of that site"),
        (lambda m: m.steered(site="mlp_out", layer=0, add=[float("nan")] * 64), "expected a finite direction"),
    ],
)
def test_what_cannot_be_added_is_refused(model, call, text):
    with pytest.raises(UserError, match=text), call(model):
        pass


def test_amounts_that_cannot_be_are_refused(model):
    with pytest.raises(UserError, match="expected n of at least 1 and a temperature of at least 0; got 0 and 1"):
        model.continuation(TEXT, 0)
    with pytest.raises(UserError, match="expected 1 to 320 tokens; got 400"):
        model.next_token(TEXT).top(400)
