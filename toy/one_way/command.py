"""`python -m toy one-way`."""

from __future__ import annotations

from eval.experiment import Experiment, run_experiment
from eval.runs import Run
from toy.configs.one_way import OneWayConfig
from toy.one_way.chapter import add_chapter
from toy.one_way.claims import judge
from toy.one_way.figures import draw
from toy.one_way.results import OneWayResult
from toy.one_way.study import measure

EXPERIMENT = Experiment(OneWayResult, measure, judge, draw, add_chapter)


def command(config: OneWayConfig, run: Run) -> str:
    """Measure, judge, draw, write; returns the table of claims."""
    return run_experiment(EXPERIMENT, "one-way", "One-way code", config.one_way, config.seed, run)
