"""QK attributions: parts add up to the stream, pairs to the score, scores to the pattern; both families; bad input."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from eval.errors import UserError
from llm_codes.lenses.graphs.attention.qk_attributions import _Maps, prompt_stream, qk_attribution, stream_parts
from llm_codes.lenses.graphs.nodes import FrozenPrompt, frozen_prompt
from llm_codes.sites import resolve_site

TOKENS = torch.tensor([1, 5, 9, 2, 7, 3, 11])


def test_the_parts_of_a_stream_add_up_to_it(both) -> None:
    for model, transcoders in both:
        prompt = frozen_prompt(model, TOKENS, transcoders)
        hook = resolve_site(model, "resid_pre", 1).hook
        true = model.activations(TOKENS[None], [hook])[hook][0]
        torch.testing.assert_close(prompt_stream(prompt, 1), true, rtol=1e-5, atol=1e-6)
        parts = stream_parts(model, prompt, transcoders, 1, 4)
        torch.testing.assert_close(parts.vectors.sum(0), true[4], rtol=1e-5, atol=1e-6)
        assert len(parts.names) == len(parts.vectors) and parts.names[-1] == "constants"


def test_scores_are_those_of_the_pattern_and_pairs_add_up_to_them(both) -> None:
    for model, transcoders in both:
        prompt = frozen_prompt(model, TOKENS, transcoders)
        for head in range(2):
            one, other = (qk_attribution(model, prompt, transcoders, 1, head, 5, key) for key in (4, 2))
            assert one.score - other.score == pytest.approx(math.log(one.pattern / other.pattern), abs=1e-5)
            maps = _Maps.of(model, prompt, 1, head)
            query, key = (stream_parts(model, prompt, transcoders, 1, place).vectors for place in (5, 4))
            pairs = maps.scale * maps.queries(query, 5) @ maps.keys(key, 4).T
            assert float(pairs.sum()) == pytest.approx(one.score, rel=1e-9)
            assert any(pair.score == pytest.approx(float(pairs.flatten()[place])) for pair in one.pairs[:1]
                       for place in range(pairs.numel()))  # fmt: skip
            every = [qk_attribution(model, prompt, transcoders, 1, head, 5, place) for place in range(6)]
            assert sum(each.above_other_keys for each in every) == pytest.approx(0, abs=1e-5)


def test_scores_that_are_no_product_are_refused(both) -> None:
    model, transcoders = both[0]
    prompt = frozen_prompt(model, TOKENS, transcoders)
    layers = list(prompt.frozen.layers)
    layers[1] = replace(layers[1], pattern=layers[1].pattern.flip(-1))
    changed = FrozenPrompt(replace(prompt.frozen, layers=tuple(layers)), prompt.active)
    with pytest.raises(
        UserError, match=r"expected the scores of head 1\.0 of .* their softmax differs from its pattern"
    ):
        qk_attribution(model, changed, transcoders, 1, 0, 5, 2)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((2, 0, 3, 1), r"expected a layer in 0\.\.1; got 2"),
        ((1, 9, 3, 1), r"expected a head in 0\.\.\d; got 9"),
        ((1, 0, 1, 3), "expected a key no later than its query"),
    ],
)
def test_bad_places_are_one_line(both, place, words) -> None:
    model, transcoders = both[0]
    prompt = frozen_prompt(model, TOKENS, transcoders)
    with pytest.raises(UserError, match=words):
        qk_attribution(model, prompt, transcoders, *place)
