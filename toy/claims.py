"""Every claim of the sources in one table: prediction, measurement, tolerance, verdict.

Runs all experiments at one size, keeps each finished measurement in the run folder (the same command continues after an
interruption), and writes the table, figures, one page and `results.json`.
"""

from __future__ import annotations

import importlib
from typing import Any

from eval.claims import Claim
from eval.errors import known_name
from eval.experiment import Experiment, claims_chapter, claims_table, measure_kept, write_claims
from eval.progress import say
from eval.report.figures import drawn
from eval.report.page import Page
from eval.runs import Run
from toy.configs.claims import ClaimsConfig

EXPERIMENTS = {
    "capacity": ("toy.capacity.command", "toy.configs.capacity", "CapacityConfig"),
    "incidental": ("toy.incidental.command", "toy.configs.incidental", "IncidentalConfig"),
    "superposition": ("toy.superposition.command", "toy.configs.superposition", "SuperpositionConfig"),
    "dropout-channel": ("toy.dropout_channel.command", "toy.configs.dropout_channel", "DropoutChannelConfig"),
    "one-way": ("toy.one_way.command", "toy.configs.one_way", "OneWayConfig"),
    "spectra": ("toy.spectra.command", "toy.configs.spectra", "SpectraConfig"),
}
"""Command module, configuration module and class, in the order of the page."""


def experiment_of(name: str) -> Experiment:
    """The experiment's four functions."""
    return importlib.import_module(EXPERIMENTS[name][0]).EXPERIMENT


def configuration(name: str, *, full: bool, seed: int, out: str) -> Any:
    """The experiment's configuration at the default or at the papers' size."""
    module = importlib.import_module(EXPERIMENTS[name][1])
    return getattr(module, EXPERIMENTS[name][2])(out=out, seed=seed, **(module.FULL if full else {}))


def measure_all(config: ClaimsConfig, run: Run) -> dict[str, dict[str, Any]]:
    """Results of every chosen experiment by name."""
    names = [known_name(name, EXPERIMENTS, "experiment") for name in config.only] or list(EXPERIMENTS)
    results = {}
    for name in names:
        say(f"claims: {name}")
        chosen = configuration(name, full=config.full, seed=config.seed, out=config.out)
        results[name] = measure_kept(run, name, experiment_of(name), chosen)
    return results


def judge_all(results: dict[str, dict[str, Any]]) -> list[Claim]:
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
    run.finish({"claims": [claim.as_json() for claim in claims], "experiments": results})
    page.write(run)
    return claims_table(claims)
