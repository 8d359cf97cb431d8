"""OpenAI's ScoredSimulation JSON, written from kept predictions: the format of the published explanation scores [B23].

    explanations/<unit>.jsonl, one line:
    {"dataclass_name": "NeuronSimulationResults", "neuron_id": {...}, "scored_explanations":
      [{"dataclass_name": "ScoredExplanation", "explanation": ..., "scored_simulation":
        {"dataclass_name": "ScoredSimulation", "scored_sequence_simulations": [...], "ev_correlation_score",
         "rsquared_score", "absolute_dev_explained_score"}}]}

The three scores are those of `scorers` (correlation, uncentred R squared, absolute deviation explained) against the
*unnormalised* activations, as the published code computes them: the correlation is the run's own, the other two are
not, since the run scores levels. Windows with a token without a prediction are left out, since
the format has no missing value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.explanation.rescoring.predictions import UnitPredictions
from eval.explanation.scoring.scorers import pooled_scores
from eval.results import Result, result

NAMES = {
    "ev_correlation_score": "correlation",
    "rsquared_score": "r_squared_uncentred",
    "absolute_dev_explained_score": "absolute_deviation_explained",
}
"""Their name of a score: ours."""


@result
class NeuronSimulationResults(Result):
    """The keys of a line, in their order."""

    dataclass_name: str
    neuron_id: dict[str, Any]
    scored_explanations: tuple[dict[str, Any], ...]


def simulation_results(parts: Sequence[UnitPredictions]) -> NeuronSimulationResults:
    """One unit in one condition: its windows of all mixes given, each with its tokens, truth and prediction."""
    unit = parts[0].unit
    sequences = [window for part in parts for window in _windows(part)]
    truth = np.concatenate([np.array(one["true_activations"]) for one in sequences] or [np.zeros(0)])
    predicted = np.concatenate([np.array(one["simulation"]["expected_activations"]) for one in sequences] or [truth])
    simulation = {"dataclass_name": "ScoredSimulation", "scored_sequence_simulations": sequences}
    explanation = {
        "dataclass_name": "ScoredExplanation",
        "explanation": parts[0].explanation or "",
        "scored_simulation": simulation | _scores(truth, predicted),
    }
    identity = {"dataclass_name": "NeuronId", "layer_index": unit.layer, "neuron_index": unit.index}
    return NeuronSimulationResults("NeuronSimulationResults", identity, (explanation,))


def _windows(part: UnitPredictions) -> Iterator[dict[str, Any]]:
    """A ScoredSequenceSimulation for each window that is predicted throughout."""
    for window in dict.fromkeys(part.window.tolist()):
        rows = np.flatnonzero(part.window == window)
        predicted = part.predicted[rows]
        if np.isnan(predicted).any():
            continue
        truth = part.activation[rows].astype(np.float64)
        yield {
            "dataclass_name": "ScoredSequenceSimulation",
            "simulation": {
                "dataclass_name": "SequenceSimulation",
                "tokens": [part.tokens[row] for row in rows],
                "expected_activations": predicted.tolist(),
                "activation_scale": "simulated_normalized_activations",
                "distribution_values": [],
                "distribution_probabilities": [],
                "uncalibrated_simulation": None,
            },
            "true_activations": truth.tolist(),
            **_scores(truth, predicted),
        }


def _scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    found = pooled_scores(truth.tolist(), predicted.tolist())
    return {theirs: found[ours].value for theirs, ours in NAMES.items()}


def write_simulation_results(path: Path, parts: Sequence[UnitPredictions]) -> None:
    """One unit's line, as the published loader reads it (strict JSON, one line a file)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(simulation_results(parts).to_json(), allow_nan=False, ensure_ascii=False)
    path.write_text(line + "\n", encoding="utf-8")
