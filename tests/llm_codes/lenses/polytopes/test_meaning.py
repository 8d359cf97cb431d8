"""Effect sizes of one meaning: planted topics stand clear of random directions, and more text moves no effect."""

from __future__ import annotations

import numpy as np
import pytest

from llm_codes.lenses.polytopes.meaning import NEURONS, NMF, RANDOM, meaning_of, meaning_of_directions, strongest
from llm_codes.lenses.polytopes.samples import TokenSample


def sample_of(token: np.ndarray) -> TokenSample:
    none = np.zeros(len(token), int)
    after = np.append(token[1:], -1)
    return TokenSample(token, after, none, none, none, {}, [""] * len(token), [""] * len(token))


def planted(n: int, seed: int = 0) -> tuple[TokenSample, np.ndarray, np.ndarray]:
    """Tokens of 400 kinds; 12 directions that answer to one kind each; hidden units that answer to nothing."""
    generator = np.random.default_rng(seed)
    token = generator.integers(0, 400, n)
    directions = (token[:, None] == np.arange(12)) + 0.1 * generator.random((n, 12))
    return sample_of(token), directions, generator.standard_normal((n, 30))


def test_directions_of_one_token_stand_clear_of_random_ones_and_of_neurons():
    sample, directions, hidden = planted(8000)
    rows = {(row.of, row.label): row for row in meaning_of_directions(directions, hidden, sample, 12, 0)}
    assert set(rows) == {(of, label) for of in (NMF, RANDOM, NEURONS) for label in ("token", "next token")}
    found, random, neurons = (rows[of, "token"].fixed for of in (NMF, RANDOM, NEURONS))
    assert found.low is not None and random.high is not None and neurons.high is not None
    assert found.low > max(random.high, neurons.high)
    after = rows[NMF, "next token"].fixed
    assert after.low is not None and after.low < 0.02


def test_more_text_does_not_make_the_effect_larger():
    values = []
    for n in (4000, 16000):
        sample, directions, _ = planted(n)
        values.append(meaning_of("planted", strongest(directions), sample, 0)[0].fixed.value)
    assert 0.05 < values[1] == pytest.approx(values[0], abs=0.05)


def test_sets_too_small_for_the_fixed_size_are_undefined_with_a_reason():
    sample, _, _ = planted(100)
    row = meaning_of("few", [np.arange(3)], sample, 0)[0]
    assert row.fixed.value is None and row.fixed.reason == "no set holds enough tokens with a label"
    one = meaning_of("one", [np.arange(30)], sample, 0)[0].fixed
    assert one.value is not None and one.low is None and one.interval_reason is not None
