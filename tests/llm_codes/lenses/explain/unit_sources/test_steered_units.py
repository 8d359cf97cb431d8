"""A unit is raised by what is asked for, at its own site, and the plain continuations are drawn once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eval.explanation.units import Unit
from llm_codes.lenses.explain.unit_sources.steered_units import NEW_TOKENS, SteeredUnits
from llm_codes.lenses.explain.units import Readout
from llm_codes.models import load_model
from llm_codes.sites import resolve_site

HEADS = [("the", " cat"), ("we",)]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path):
    return load_model(str(tiny_model_folder))


def test_units_of_every_kind_are_raised_or_say_why_not(model, monkeypatch) -> None:
    neurons, out = resolve_site(model, "mlp_post", 1), resolve_site(model, "mlp_out", 0)
    vector = torch.arange(float(out.width))[:, None] / 7
    decoder = torch.ones(1, out.width)
    readouts = [
        Readout(neurons, (Unit("neuron", 1, 3, neurons.hook),), lambda x: x),
        Readout(out, (Unit("random", 0, 0, out.hook),), lambda x: x, vector.double()),
        Readout(out, (Unit("sae", 0, 5, out.hook, "DIR"),), lambda x: x, decoder=decoder),
        Readout(out, (Unit("cluster", 0, 1, out.hook),), lambda x: x),
    ]
    added: list = []
    steered = type(model).steered
    monkeypatch.setattr(type(model), "steered", lambda self, **how: added.append(how) or steered(self, **how))
    units = SteeredUnits(model, readouts)
    texts = [units.steer(number, 2.0, HEADS, 0) for number in range(4)]
    assert texts[3] == "the unit reads activations and writes none: it cannot be steered"
    assert [(how["site"], how["layer"]) for how in added] == [("mlp_post", 1), ("mlp_out", 0), ("mlp_out", 0)]
    assert added[0]["add"].nonzero().tolist() == [[3]] and float(added[0]["add"][3]) == 2
    assert float(added[1]["add"] @ vector[:, 0]) == pytest.approx(2)  # the direction's own value grows by 2
    assert torch.equal(added[2]["add"], 2 * decoder[0])
    assert all(0 < len(text) <= NEW_TOKENS * 4 for text in texts[0])


def test_what_is_not_steered_is_drawn_once_and_steering_changes_it(model, monkeypatch) -> None:
    site = resolve_site(model, "resid_post", 1)
    vector = torch.randn(site.width, 1, generator=torch.Generator().manual_seed(0))
    units = SteeredUnits(model, [Readout(site, (Unit("random", 1, 0, site.hook),), lambda x: x, vector)])
    drawn = []
    said = type(model).continuations
    monkeypatch.setattr(type(model), "continuations", lambda self, *a, **k: drawn.append(a) or said(self, *a, **k))
    plain = units.steer(0, 0.0, HEADS, 0)
    assert units.steer(0, 0.0, HEADS, 0) == plain and len(drawn) == 1
    assert units.steer(0, 500.0, HEADS, 0) != plain
