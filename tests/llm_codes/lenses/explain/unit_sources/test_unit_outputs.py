"""A unit whose output direction is a known token says that token; in the untrained model it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eval.explanation.outputs.effects import effect_of
from eval.explanation.units import Unit
from llm_codes.lenses.explain.unit_sources.unit_outputs import UnitOutputs
from llm_codes.lenses.explain.units import Readout
from llm_codes.models import load_model, untrained_like
from llm_codes.sites import resolve_site

TOKEN = 17
TEXTS = [(3, 4, 5, 6), (7, 8, 9, 10)]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def readouts(model):
    """The direction that the unembedding reads as one token, at the end of the last block; and others."""
    last = resolve_site(model, "resid_post", model.n_layers - 1)
    planted = model.bridge.W_U.detach().float()[:, TOKEN]
    neurons, keys = resolve_site(model, "mlp_post", 1), resolve_site(model, "mlp_in", 1)
    return [
        Readout(last, (Unit("direction", last.layer, 0, last.hook),), lambda x: x, planted[:, None]),
        Readout(neurons, (Unit("neuron", 1, 3, neurons.hook),), lambda x: x),
        Readout(keys, (Unit("random", 1, 0, keys.hook),), lambda x: x, torch.ones(keys.width, 1)),
        Readout(last, (Unit("cluster", 1, 0, last.hook),), lambda x: x),
    ]


def promoted(outputs: UnitOutputs, found) -> str:
    return effect_of(found, outputs.strings, 1).promoted[0][0]


def test_a_planted_direction_says_its_token_and_the_untrained_model_does_not(model, readouts) -> None:
    outputs, word = UnitOutputs(lambda: model, readouts), model.token_strings([TOKEN])[0]
    assert promoted(outputs, outputs.direct(0)) == word
    assert promoted(outputs, outputs.steered(0, 40.0, TEXTS)) == word
    control = UnitOutputs(lambda: untrained_like(model, 5), readouts)
    assert promoted(control, control.direct(0)) != word
    assert promoted(control, control.steered(0, 40.0, TEXTS)) != word


def test_a_neuron_writes_its_row_of_the_output_layer(model, readouts) -> None:
    outputs = UnitOutputs(lambda: model, readouts)
    place = resolve_site(model, "mlp_out", 1)
    tokens = torch.tensor([[5, 6]])
    plain = model.activations(tokens, [place])[place.hook]
    with model.steered(site="mlp_post", layer=1, add=torch.eye(readouts[1].site.width)[3]):
        row = (model.activations(tokens, [place])[place.hook] - plain)[0, 1]  # the same at every position
    vector = torch.zeros(1, place.width)
    vector[0] = row
    as_direction = UnitOutputs(lambda: model, [Readout(place, (Unit("sae", 1, 0),), lambda x: x, decoder=vector)])
    np.testing.assert_allclose(outputs.direct(1), as_direction.direct(0), atol=1e-4)


def test_units_without_a_direct_effect_say_why(model, readouts) -> None:
    outputs = UnitOutputs(lambda: model, readouts)
    assert "goes through a nonlinearity" in str(outputs.direct(2)) and not isinstance(
        outputs.steered(2, 1.0, TEXTS), str
    )
    for found in (outputs.direct(3), outputs.steered(3, 1.0, TEXTS)):
        assert found == "the unit reads activations and writes none: it cannot be steered"
