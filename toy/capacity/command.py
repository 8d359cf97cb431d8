"""`python -m toy capacity`."""

from __future__ import annotations

from eval.experiment import Experiment, run_experiment
from eval.runs import Run
from toy.capacity.chapter import add_chapter
from toy.capacity.claims import judge
from toy.capacity.figures import draw
from toy.capacity.results import CapacityResult
from toy.capacity.study import measure
from toy.configs.capacity import CapacityConfig

EXPERIMENT = Experiment(CapacityResult, measure, judge, draw, add_chapter)


def command(config: CapacityConfig, run: Run) -> str:
    """Measure, judge, draw, write; returns the table of claims."""
    return run_experiment(EXPERIMENT, "capacity", "Capacity of codes under dropout", config.capacity, config.seed, run)
