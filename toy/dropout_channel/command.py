"""`python -m toy dropout-channel`."""

from __future__ import annotations

from eval.experiment import Experiment, run_experiment
from eval.runs import Run
from toy.configs.dropout_channel import DropoutChannelConfig
from toy.dropout_channel.chapter import add_chapter
from toy.dropout_channel.claims import judge
from toy.dropout_channel.figures import draw
from toy.dropout_channel.results import DropoutChannelResult
from toy.dropout_channel.study import measure

EXPERIMENT = Experiment(DropoutChannelResult, measure, judge, draw, add_chapter)


def command(config: DropoutChannelConfig, run: Run) -> str:
    """Measure, judge, draw, write; returns the table of claims."""
    return run_experiment(EXPERIMENT, "dropout-channel", "Dropout as a channel", config.channel, config.seed, run)
