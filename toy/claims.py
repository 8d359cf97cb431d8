"""Every claim of the sources in one table: prediction, measurement, tolerance, verdict.

Runs all experiments at one size, keeps each finished measurement in the run folder (the same command continues after an
interruption), and writes the table, figures, one page and `results.json`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from eval.claims import Claim
from eval.experiment import Experiment, Measurement, claims_chapter, claims_table, measure_kept, write_claims
from eval.options import Options
from eval.progress import say
from eval.report.figures import drawn
from eval.report.page import Page
from eval.results import Result, result
from eval.runs import Run
from toy.configs.claims import NAMES, ClaimsConfig

EXPERIMENTS = {
    "capacity": ("toy.capacity.command", "toy.configs.capacity", "CapacityOptions"),
    "incidental": ("toy.incidental.command", "toy.configs.incidental", "IncidentalOptions"),
    "superposition": ("toy.superposition.command", "toy.configs.superposition", "SuperpositionOptions"),
    "dropout-channel": ("toy.dropout_channel.command", "toy.configs.dropout_channel", "DropoutChannelOptions"),
    "one-way": ("toy.one_way.command", "toy.configs.one_way", "OneWayOptions"),
    "spectra": ("toy.spectra.command", "toy.configs.spectra", "ToySpectraOptions"),
}
"""Command module, module and class of the options."""


@result
class ClaimsResult(Result):
    """`results.json` of `python -m toy claims`: every claim, and what each experiment measured."""

    table = "claims"
    columns = ("verdict", "claim", "measured")

    claims: tuple[Claim, ...]
    experiments: Mapping[str, Measurement]


def experiment_of(name: str) -> Experiment[Any]:
    """The experiment's four functions."""
    return importlib.import_module(EXPERIMENTS[name][0]).EXPERIMENT


def options_of(name: str, *, full: bool = False) -> Options:
    """The experiment's options at the default or at the papers' size."""
    module = importlib.import_module(EXPERIMENTS[name][1])
    return getattr(module, EXPERIMENTS[name][2])(**(module.FULL if full else {}))


def measure_all(config: ClaimsConfig, run: Run) -> dict[str, Measurement]:
    """Results of every chosen experiment by name."""
    results = {}
    for name in config.only or NAMES:
        say(f"claims: {name}")
        options = options_of(name, full=config.full)
        results[name] = measure_kept(run, name, experiment_of(name), options, config.seed)
    return results


def judge_all(results: Mapping[str, Measurement]) -> list[Claim]:
    """Every claim, in the order of the page."""
    return [claim for name in results for claim in experiment_of(name).judge(results[name])]


def command(config: ClaimsConfig, run: Run) -> str:
    """Measure, judge, draw, write; returns the table of claims."""
    results = measure_all(config, run)
    claims = judge_all(results)
    size = "the papers' sizes" if config.full else "the default size (two cores)"
    page = Page("Toy models and coding theory", f"Every claim as prediction, measurement and verdict; {size}.")
    claims_chapter(page, claims)
    for name, measured in results.items():
        experiment = experiment_of(name)
        experiment.add_chapter(page, measured, drawn(experiment.draw, run, measured))
    write_claims(run, claims)
    run.finish(ClaimsResult(tuple(claims), results).to_json())
    page.write(run)
    return claims_table(claims)
