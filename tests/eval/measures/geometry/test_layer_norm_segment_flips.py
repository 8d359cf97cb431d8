"""LayerNorm -> Linear along a segment: closed form against dense sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.geometry.layer_norm_segment import normalised_crossings


@pytest.mark.parametrize("centred", [True, False])
def test_closed_form_equals_dense_sampling(centred: bool) -> None:
    generator = np.random.default_rng(0)
    width, units = 6, 200
    start, end = generator.normal(size=(2, width))
    weight, bias = generator.normal(size=(units, width)), generator.normal(size=units)
    gain, shift = generator.normal(size=width), 0.3 * generator.normal(size=width)
    found = normalised_crossings(start, end, weight, bias, gain=gain, shift=shift, epsilon=1e-5, centred=centred)
    t = np.linspace(0, 1, 20_001)[:, None]
    x = torch.tensor(start + t * (end - start))
    if centred:
        normed = torch.nn.functional.layer_norm(x, (width,), torch.tensor(gain), torch.tensor(shift), 1e-5).numpy()
    else:
        normed = (x / (x.pow(2).mean(1, keepdim=True) + 1e-5).sqrt()).numpy() * gain + shift
    on = normed @ weight.T + bias > 0
    changes = on[1:] != on[:-1]
    assert found.count == changes.sum() > 20
    assert (np.bincount(found.unit, minlength=units) == changes.sum(0)).all()
    assert np.bincount(found.unit).max() == 2  # some neuron flips twice: more than codes of the end points show
    place, unit = np.nonzero(changes)
    for p, u in zip(place, unit, strict=True):
        assert np.abs(found.t[found.unit == u] - (p + 0.5) / 20_000).min() < 1e-4


def test_scaling_a_stream_barely_moves_the_code_of_a_normalised_block() -> None:
    generator = np.random.default_rng(1)
    x, weight = generator.normal(size=8), generator.normal(size=(500, 8))
    scaled = normalised_crossings(0.5 * x, 3 * x, weight, np.zeros(500), epsilon=1e-6)
    assert scaled.count == 0
    biased = normalised_crossings(0.001 * x, 3 * x, weight, generator.normal(size=500), epsilon=1e-6)
    assert 0 < biased.count < 250


def test_bad_input() -> None:
    with pytest.raises(UserError, match=r"expected start and end \[width\]"):
        normalised_crossings(np.zeros(3), np.zeros(3), np.zeros((2, 4)), np.zeros(2))
    with pytest.raises(UserError, match="expected finite values"):
        normalised_crossings(np.full(2, np.nan), np.zeros(2), np.zeros((2, 2)), np.zeros(2))
    assert normalised_crossings(np.ones(2), np.ones(2), np.ones((2, 2)), np.ones(2)).density.reason is not None
