"""The control of the polytope lens is another network: fresh weights under the run's seed, never the model itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llm_codes.configs.polytopes import PolytopesOptions
from llm_codes.lenses.polytopes import study
from llm_codes.lenses.polytopes.stages import Stages
from llm_codes.models import load_model, untrained_like

TOKENS = torch.arange(12)[None]


def test_rays_of_the_untrained_network_and_of_noise_are_asked_of_the_right_network(tiny_model_folder: Path) -> None:
    model = load_model(str(tiny_model_folder))
    asked: Any = SimpleNamespace(options=PolytopesOptions(rays=3), model=model, seed=7)
    asked._rays = lambda name, network, noise=False: (network(), noise)
    found: Any = Stages.all_rays(asked)
    assert found["trained"] == (model, False) and found["matched noise"] == (model, True)
    control, noise = found["untrained"]
    assert control.untrained and not noise
    assert torch.equal(control.logits(TOKENS), untrained_like(model, 7).logits(TOKENS))
    assert not torch.allclose(control.logits(TOKENS), model.logits(TOKENS))


def test_the_statements_control_is_measured_on_fresh_weights(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(str(tiny_model_folder))
    seen = []

    class Asked(Exception):
        pass

    def stages(network: Any, *_: Any) -> None:
        seen.append(network)
        raise Asked

    monkeypatch.setattr(study, "Stages", stages)
    work: Any = SimpleNamespace(options=PolytopesOptions(), model=model, corpus=None, reading=None, seed=7)
    with pytest.raises(Asked):
        study._untrained(work)
    (control,) = seen
    assert control.untrained and not torch.allclose(control.logits(TOKENS), model.logits(TOKENS))
