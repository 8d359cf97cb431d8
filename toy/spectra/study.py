"""The measures of the other wings applied to toy codes, so that all three speak one language.

Axis glossary: ``model`` trained and untrained superposition models by sparsity, ``sample`` sparse inputs, ``frame``
steps of a walk from feature to feature.

The code is the hidden layer ``W x``; the walk fades one feature out while the next fades in, so neighbouring frames are
neighbouring stimuli; the polytopes are those of the output ReLU in input space.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes, code_density
from eval.measures.projections.projection import action_per_trace, expected_action, minimum_action, sampled_actions
from eval.measures.spectra.spectrum import Spectrum
from eval.runs import json_ready
from toy.configs.spectra import SpectraConfig
from toy.safeguards import check_count
from toy.superposition.measures import dimensions_per_feature
from toy.superposition.training import SuperpositionSetting, initial_weights, sparse_inputs, train

FRAMES_PER_FEATURE = 8


def measure(config: SpectraConfig) -> dict[str, Any]:
    """Spectrum, action and polytope density of every model, as plain JSON."""
    check_count(config.samples, "samples", 10)
    setting = SuperpositionSetting(n_features=config.n_features, n_hidden=config.n_hidden, steps=config.steps)
    models = train(setting, config.sparsities, [config.seed])
    start = initial_weights(config.n_features, config.n_hidden, [config.seed])[0]
    rows = []
    for index, sparsity in enumerate(config.sparsities):
        rows.append(describe("trained", sparsity, models.weights[index], models.bias[index], config))
    rows.append(describe("untrained", config.sparsities[-1], start, torch.zeros(config.n_features), config))
    return json_ready({"models": rows, "n_features": config.n_features, "n_hidden": config.n_hidden})


def describe(
    name: str, sparsity: float, weights: torch.Tensor, bias: torch.Tensor, config: SpectraConfig
) -> dict[str, Any]:
    """One model through the three measures."""
    generator = torch.Generator().manual_seed(config.seed + 1)
    active = torch.tensor(1 - sparsity)[None, None, None]
    inputs = sparse_inputs(active, (config.samples, config.n_features), [generator])[0]
    codes = (inputs @ weights.T).double().numpy()
    spectrum = Spectrum.of_samples(codes)
    fitted = spectrum.report((2, config.n_hidden))
    walk = (feature_walk(config.n_features) @ weights.T).double().numpy()
    minimum = minimum_action(walk, n_dimensions=1)
    return {
        "model": name,
        "sparsity": sparsity,
        "dimensions_per_feature": float(dimensions_per_feature(weights[None])),
        "eigenvalues": spectrum.eigenvalues.tolist(),
        "alpha (indices 2 to m)": fitted.get("alpha"),
        "alpha_reason": fitted.get("alpha_reason"),
        "participation_ratio": spectrum.participation_ratio(),
        "effective_rank": spectrum.effective_rank(),
        "expected_action": expected_action(walk),
        "sampled_action": float(np.mean(sampled_actions(walk, n_draws=200, seed=config.seed))),
        "action_per_trace": action_per_trace(walk),
        "minimum_action": float(np.min(minimum.action_per_variance)),
        **_polytopes(inputs, weights, bias),
    }


def feature_walk(n_features: int) -> torch.Tensor:
    """Inputs that fade from feature i to feature i + 1: ``[frame feature]``."""
    time = torch.arange((n_features - 1) * FRAMES_PER_FEATURE + 1) / FRAMES_PER_FEATURE
    return (1 - (time[:, None] - torch.arange(n_features)).abs()).clamp_min(0)


def _polytopes(inputs: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor) -> dict[str, Any]:
    """Distinct spline codes of the output ReLU, and code changes per distance between random pairs of inputs."""
    before = (inputs @ weights.T @ weights + bias).numpy()
    codes = SplineCodes.hard(
        CodeMap((CodePart("output", "relu", (before.shape[1],)),), input_site="x", model="superposition"),
        {"output": before},
    )
    half = len(inputs) // 2
    first, second = inputs[:half].numpy(), inputs[half : 2 * half].numpy()
    apart = np.linalg.norm(first - second, axis=1) > 0
    density = code_density(
        codes[np.arange(half)[apart]], codes[np.arange(half, 2 * half)[apart]], first[apart], second[apart]
    )
    return {"distinct_codes": codes.n_distinct() / len(inputs), "density": float(np.mean(density.value))}
