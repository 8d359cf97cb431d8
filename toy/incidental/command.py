"""`python -m toy incidental`."""

from __future__ import annotations

from eval.experiment import Experiment, run_experiment
from eval.runs import Run
from toy.configs.incidental import IncidentalConfig
from toy.incidental.chapter import add_chapter
from toy.incidental.claims import judge
from toy.incidental.figures import draw
from toy.incidental.results import IncidentalResult
from toy.incidental.study import measure

EXPERIMENT = Experiment(IncidentalResult, measure, judge, draw, add_chapter)


def command(config: IncidentalConfig, run: Run) -> str:
    """Measure, judge, draw, write; returns the table of claims."""
    return run_experiment(EXPERIMENT, "incidental", "Incidental polysemanticity", config.incidental, config.seed, run)
