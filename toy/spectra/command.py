"""`python -m toy spectra`."""

from __future__ import annotations

from eval.experiment import Experiment, run_experiment
from eval.runs import Run
from toy.configs.spectra import SpectraConfig
from toy.spectra.chapter import add_chapter
from toy.spectra.claims import judge
from toy.spectra.figures import draw
from toy.spectra.results import ToySpectraResult
from toy.spectra.study import measure

EXPERIMENT = Experiment(ToySpectraResult, measure, judge, draw, add_chapter)


def command(config: SpectraConfig, run: Run) -> str:
    """Measure, judge, draw, write; returns the table of claims."""
    return run_experiment(EXPERIMENT, "spectra", "Spectra of toy codes", config.spectra, config.seed, run)
