"""Smooth along a text: planted paths go through the study, and are judged beside paths without any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eval.runs import Run
from llm_codes.configs.inputs import InputsOptions, WindowsOptions
from llm_codes.configs.trajectories import DrawnOptions, TrajectoriesOptions
from llm_codes.inputs import open_inputs
from llm_codes.lenses.trajectories.claims import claims
from llm_codes.lenses.trajectories.command import chapter, results_of
from llm_codes.lenses.trajectories.moments import TrajectoryMoments
from llm_codes.lenses.trajectories.rows import Trajectories
from llm_codes.lenses.trajectories.study import describe_site, trajectories
from llm_codes.models import untrained_like
from llm_codes.sites import Site
from llm_codes.windows import Batch

SITES = [Site(f"blocks.{layer}.hook_out", "resid_post", layer, 8, "stream") for layer in range(3)]
DOCUMENTS, POSITIONS = 40, 32


def paths(memory: tuple[float, float, float], seed: int = 0) -> Trajectories:
    """First-order autoregressive paths of the given memory by layer: their action per variance is 1 - memory."""
    generator = np.random.default_rng(seed)
    consumer = TrajectoryMoments(SITES)
    values = {}
    for site, keep in zip(SITES, memory, strict=True):
        path = generator.standard_normal((DOCUMENTS, POSITIONS, site.width))
        for position in range(1, POSITIONS):
            path[:, position] = keep * path[:, position - 1] + np.sqrt(1 - keep**2) * path[:, position]
        values[site.hook] = torch.as_tensor(path)
    kept = torch.ones(DOCUMENTS, POSITIONS, dtype=torch.bool)
    documents = torch.arange(DOCUMENTS)
    batch = Batch(torch.zeros(DOCUMENTS, POSITIONS, dtype=torch.long), kept, documents, documents)
    consumer.update(values, batch, kept)
    return Trajectories(tuple(describe_site(site, consumer.moments[site.hook], 2, 0)[0] for site in SITES), {})


SMOOTH, WHITE = (0.6, 0.4, 0.5), (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("own", "control", "verdict"),
    [
        (SMOOTH, WHITE, "holds"),
        (SMOOTH, (0.5, 0.5, 0.45), "holds, and so does its control"),
        (SMOOTH, None, "cannot tell"),
        ((0.6, 0.05, 0.5), WHITE, "cannot tell"),  # one layer with hardly any order: .95, and less than 5% is none
        ((0.6, 0.0, 0.5), WHITE, "fails"),  # one layer without order
        ((0.6, -0.4, 0.5), WHITE, "fails"),
    ],
)
def test_every_layer_must_be_smooth_and_smoother_than_untrained(own, control, verdict: str):
    (claim,) = claims(paths(own), None if control is None else paths(control, 1))
    assert claim.verdict == verdict, claim
    assert (claim.controls is None) == (control is None)


def test_the_roughest_layer_is_the_one_that_is_judged():
    (claim,) = claims(paths(SMOOTH), paths(WHITE, 1))
    assert claim.measured == pytest.approx(0.6, abs=0.03) and "resid_post@1" in claim.note
    assert claim.controls is not None and claim.controls["untrained, roughest layer"].value == pytest.approx(1, abs=0.1)


def test_paths_without_order_are_called_smooth_in_few_draws():
    """Of 40 draws of white noise beside white noise none may hold; two halves of one rule stand against it."""
    found = [claims(paths(WHITE, seed), paths(WHITE, seed + 1000))[0].verdict for seed in range(40)]
    assert found.count("holds") == 0


def test_the_control_is_fresh_weights_on_the_same_text(tiny_model_folder: Path, text_folder: Path, tmp_path: Path):
    inputs = open_inputs(InputsOptions(model=str(tiny_model_folder), corpus=str(text_folder)), seed=3)
    corpus, options = inputs.view(WindowsOptions(context=32, tokens=2000)), TrajectoriesOptions(projections=5)
    found, control, _ = chapter(options, DrawnOptions(), inputs, corpus, Run(tmp_path), control=True)
    fresh = trajectories(untrained_like(inputs.model, 3), corpus, options, seed=3)
    assert control is not None and control.sites == fresh.sites != found.sites
    (claim,) = results_of(found, control).claims
    assert claim.controls is not None
    without = chapter(options, DrawnOptions(), inputs, corpus, Run(tmp_path), control=False)[1]
    assert without is None and results_of(found, without).claims[0].verdict != "holds"
