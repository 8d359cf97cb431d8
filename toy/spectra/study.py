"""The measures of the other wings applied to toy codes, so that all three speak one language.

Axis glossary: ``model`` trained and untrained superposition models by sparsity, ``sample`` sparse inputs, ``frame``
steps of a walk from feature to feature.

The code is the hidden layer ``W x``; the walk fades one feature out while the next fades in, so neighbouring frames are
neighbouring stimuli; the polytopes are those of the output ReLU in input space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from eval.claims import Claim
from eval.experiment import run_experiment
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes, code_density
from eval.measures.projections.projection import action_per_trace, expected_action, minimum_action, sampled_actions
from eval.measures.spectra.spectrum import Spectrum
from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.report.page import Page
from eval.runs import Run, json_ready
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


def judge(results: dict[str, Any]) -> list[Claim]:
    """The sampled action of random projections against the corrected closed form."""
    worst = max(results["models"], key=lambda row: abs(row["sampled_action"] / row["expected_action"] - 1))
    ratio = worst["sampled_action"] / worst["expected_action"]
    return [
        Claim(
            claim="The action of random projections of toy codes is 3/(2 m dt) sum |dA|^2",
            source="Marshall & Kirchner 2023 (MK) eq. 4, corrected: second moment of differences",
            prediction="sampled/closed form = 1",
            measured=ratio,
            tolerance=0.1,
            verdict="holds" if abs(ratio - 1) <= 0.1 else "fails",
            seeds=1,
            n=200,
            note="farthest of the models; 200 projections each",
        )
    ]


def draw(run: Run, results: dict[str, Any]) -> dict[str, SavedFigure]:
    """Spectra, and the three measures against sparsity."""
    fig, (left, right) = figure(1, 2, width=7.6, height=3.0)
    for colour, row in zip(COLOURS, results["models"], strict=False):
        values = np.array(row["eigenvalues"]) / sum(row["eigenvalues"])
        style = "--" if row["model"] == "untrained" else "-"
        left.loglog(
            np.arange(1, len(values) + 1), values, style, color=colour, label=f"{row['model']}, S={row['sparsity']:g}"
        )
    left.set_xlabel("index")
    left.set_title("Share of variance")
    left.legend()
    trained = [row for row in results["models"] if row["model"] == "trained"]
    x = [f"{row['sparsity']:g}" for row in trained]
    right.plot(
        x, [row["participation_ratio"] / results["n_hidden"] for row in trained], "o-", label="participation ratio / m"
    )
    right.plot(x, [row["action_per_trace"] for row in trained], "s-", label="action / trace")
    right.plot(x, [row["distinct_codes"] for row in trained], "^-", label="distinct codes / inputs")
    right.set_xlabel("sparsity S")
    right.legend()
    caption = (
        f"Superposition models, n={results['n_features']}, m={results['n_hidden']}: spectrum, action, spline codes."
    )
    return {"spectra": save_figure(run, fig, "toy-spectra", caption)}


def add_chapter(page: Page, results: dict[str, Any], figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figure and table."""
    section = page.section("Spectra, action and polytopes of toy codes", "spectra")
    section.text(
        "The measures of the language and vision wings on superposition models: eigenspectrum of the hidden code, "
        "action along a walk from feature to feature, spline codes of the output ReLU. Exponents need more indices "
        "than a hidden layer this narrow has; they are given for indices 2 to m and should be read as descriptions."
    )
    section.figure(figures["spectra"])
    rows = [{k: v for k, v in row.items() if k != "eigenvalues"} for row in results["models"]]
    section.table(rows, caption="One row per model.")


def command(config: SpectraConfig, run: Run) -> str:
    import toy.spectra.study as experiment

    return run_experiment(experiment, "spectra", "Spectra of toy codes", config, run)
