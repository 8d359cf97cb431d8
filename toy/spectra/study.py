"""The measures of the other wings applied to toy codes, so that all three speak one language.

Axis glossary: ``model`` trained and untrained superposition models by sparsity, ``sample`` sparse inputs, ``frame``
steps of a walk from feature to feature.

The code is the hidden layer ``W x``; the walk fades one feature out while the next fades in, so neighbouring frames are
neighbouring stimuli; the polytopes are those of the output ReLU in input space.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from eval.errors import UserError
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes, code_density
from eval.measures.projections.projection import action_per_trace, expected_action, minimum_action, sampled_actions
from eval.measures.spectra.power_law import fit_power_law
from eval.measures.spectra.spectrum import Spectrum
from eval.options import chosen
from eval.scores import Score
from toy.configs.spectra import ToySpectraOptions
from toy.safeguards import check_memory
from toy.spectra.results import ToyCode, ToySpectraResult
from toy.superposition.measures import dimensions_per_feature
from toy.superposition.training import SuperpositionSetting, initial_weights, sparse_inputs, train

FRAMES_PER_FEATURE = 8
N_DRAWS = 200


def measure(options: ToySpectraOptions | None = None, *, seed: int = 0, **changes: Any) -> ToySpectraResult:
    """Spectrum, action and polytope density of every model.

    Args:
        options: sizes, sparsities, training; `changes` replace single ones (`steps=100`).
        seed: of the models, their inputs and the projections.

    Raises:
        UserError: an option outside its range; what does not fit into memory, before any work.
    """
    config = chosen(ToySpectraOptions, options, changes)
    n, m = config.n_features, config.n_hidden
    floats = config.samples * (4 * n + 2 * m) + (n * FRAMES_PER_FEATURE) * (n + 8 * m)
    check_memory(8.0 * floats, f"{config.samples} inputs of {n} features")
    models = train(SuperpositionSetting(n_features=n, n_hidden=m, steps=config.steps), config.sparsities, [seed])
    start = initial_weights(n, m, [seed])[0]
    rows = [
        describe("trained", sparsity, models.weights[index], models.bias[index], config, seed)
        for index, sparsity in enumerate(config.sparsities)
    ]
    rows.append(describe("untrained", config.sparsities[-1], start, torch.zeros(n), config, seed))
    return ToySpectraResult(tuple(rows), n, m)


def describe(
    name: str, sparsity: float, weights: torch.Tensor, bias: torch.Tensor, config: ToySpectraOptions, seed: int = 0
) -> ToyCode:
    """One model through the three measures."""
    generator = torch.Generator().manual_seed(seed + 1)
    active = torch.tensor(1 - sparsity)[None, None, None]
    inputs = sparse_inputs(active, (config.samples, config.n_features), [generator])[0]
    codes = (inputs @ weights.T).double().numpy()
    spectrum = Spectrum.of_samples(codes)
    walk = (feature_walk(config.n_features) @ weights.T).double().numpy()
    minimum = minimum_action(walk, n_dimensions=1)
    sampled = sampled_actions(walk, n_draws=N_DRAWS, seed=seed)
    distinct, density = _polytopes(inputs, weights, bias)
    return ToyCode(
        model=name,
        sparsity=sparsity,
        dimensions_per_feature=float(dimensions_per_feature(weights[None])),
        eigenvalues=tuple(spectrum.eigenvalues.tolist()),
        alpha=_alpha(spectrum, config.n_hidden),
        participation_ratio=_of_variance(spectrum.participation_ratio()),
        effective_rank=_of_variance(spectrum.effective_rank()),
        expected_action=expected_action(walk),
        sampled_action=float(np.mean(sampled)),
        sampled_action_standard_error=float(np.std(sampled, ddof=1) / math.sqrt(N_DRAWS)),
        action_per_trace=action_per_trace(walk),
        minimum_action=float(np.min(minimum.action_per_variance)),
        distinct_codes=distinct,
        density=density,
    )


def _of_variance(value: float) -> Score:
    return Score(value) if math.isfinite(value) else Score.undefined("the code of these inputs does not vary")


def _alpha(spectrum: Spectrum, n_hidden: int) -> Score:
    """The exponent over indices 2 to m, or why there is none; one sample of one model has no interval."""
    try:
        return Score(fit_power_law(spectrum.eigenvalues, (2, n_hidden)).exponent)
    except UserError as error:
        return Score.undefined(str(error))


def feature_walk(n_features: int) -> torch.Tensor:
    """Inputs that fade from feature i to feature i + 1: ``[frame feature]``."""
    time = torch.arange((n_features - 1) * FRAMES_PER_FEATURE + 1) / FRAMES_PER_FEATURE
    return (1 - (time[:, None] - torch.arange(n_features)).abs()).clamp_min(0)


def _polytopes(inputs: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor) -> tuple[float, Score]:
    """Distinct spline codes of the output ReLU, and code changes per distance between random pairs of inputs."""
    before = (inputs @ weights.T @ weights + bias).numpy()
    codes = SplineCodes.hard(
        CodeMap((CodePart("output", "relu", (before.shape[1],)),), input_site="x", model="superposition"),
        {"output": before},
    )
    return codes.n_distinct() / len(inputs), _density(codes, inputs.numpy())


def _density(codes: SplineCodes, inputs: np.ndarray) -> Score:
    """Mean code changes per distance between the first half of the inputs and the second, pair by pair."""
    half = len(inputs) // 2
    first, second = inputs[:half], inputs[half : 2 * half]
    apart = np.linalg.norm(first - second, axis=1) > 0
    if not apart.any():
        return Score.undefined("every pair of inputs is one and the same point; take more --samples")
    pairs = codes[np.arange(half)[apart]], codes[np.arange(half, 2 * half)[apart]]
    return Score(float(np.mean(code_density(*pairs, first[apart], second[apart]).value)))
