"""`python -m toy superposition`."""

from __future__ import annotations

from eval.experiment import Experiment, run_experiment
from eval.runs import Run
from toy.configs.superposition import SuperpositionConfig
from toy.superposition.chapter import add_chapter
from toy.superposition.claims import judge
from toy.superposition.figures import draw
from toy.superposition.results import SuperpositionResult
from toy.superposition.study import measure

EXPERIMENT = Experiment(SuperpositionResult, measure, judge, draw, add_chapter)


def command(config: SuperpositionConfig, run: Run) -> str:
    """Measure, judge, draw, write; returns the table of claims."""
    return run_experiment(EXPERIMENT, "superposition", "Superposition", config.superposition, config.seed, run)
