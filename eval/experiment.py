"""What every toy experiment shares: measure, judge, draw, write the page and `results.json`.

An experiment is four functions, all on plain dictionaries so that a finished measurement is kept in the
run folder and figures and verdicts can be made again from it:

    measure(config) -> results              the numbers, JSON-ready
    judge(results) -> [Claim, ...]          every claim as prediction, measurement, verdict
    draw(run, results) -> {name: SavedFigure}
    add_chapter(page, results, figures)     its chapter of a page
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.claims import VERDICTS, Claim, Verdict, claims_rows
from eval.progress import say
from eval.report.figures import SavedFigure, drawn
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run


@dataclass(frozen=True)
class Experiment:
    """The four functions of an experiment, one from each file of its room."""

    measure: Callable[[Any], dict[str, Any]]
    judge: Callable[[dict[str, Any]], list[Claim]]
    draw: Callable[[Run, dict[str, Any]], dict[str, SavedFigure]]
    add_chapter: Callable[[Page, dict[str, Any], Mapping[str, SavedFigure]], None]


def within(measured: float, prediction: float, tolerance: float) -> Verdict:
    """`holds` where the measurement is within the tolerance of the prediction, else `fails`."""
    return "holds" if abs(measured - prediction) <= tolerance else "fails"


def separated(difference: float, standard_error: float, errors: float = 3.0) -> Verdict:
    """Is a difference predicted to be positive so, by `errors` standard errors? Undecided in between."""
    if difference > errors * standard_error:
        return "holds"
    return "fails" if difference < -errors * standard_error else "cannot tell"


def tally(claims: Sequence[Claim]) -> str:
    """`11 hold, 2 fail, 1 cannot tell` in words."""
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in VERDICTS}
    return f"{counts['holds']} hold, {counts['fails']} fail, {counts['cannot tell']} cannot tell"


def claims_table(claims: Sequence[Claim]) -> str:
    """The short table for stdout: failed and undecided claims stand in the same type as the others."""
    rows = [
        {"verdict": row["verdict"], "claim": row["claim"], "predicted": row["prediction"], "measured": row["measured"]}
        for row in claims_rows(claims)
    ]
    return f"{text_table(rows)}\n{tally(claims)}"


def measure_kept(run: Run, name: str, experiment: Experiment, config: Any) -> dict[str, Any]:
    """The experiment's results: read back where the run folder has them, else measured; warnings are said once."""

    def compute() -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            results = experiment.measure(config)
        texts = list(dict.fromkeys(str(item.message) for item in caught if item.category is UserWarning))
        for text in texts:
            say(f"warning: {text}")
        return {**results, "warnings": texts}

    return run.item(name, compute, of=(experiment.measure.__module__,))


def claims_chapter(page: Page, claims: Sequence[Claim]) -> None:
    """The table of claims, first on the page."""
    section = page.section("Claims", "claims")
    section.text(f"{len(claims)} claims: {tally(claims)}. Failed and undecided ones are listed like the others.")
    section.table(claims_rows(claims), caption="measured +- standard error, or [95% interval]")


def run_experiment(experiment: Experiment, name: str, title: str, config: Any, run: Run) -> str:
    """Measure, judge, draw, write page and results; returns the short table for stdout."""
    results = measure_kept(run, name, experiment, config)
    claims = experiment.judge(results)
    page = Page(title, f"seed {config.seed}; every number below is also in results.json")
    claims_chapter(page, claims)
    experiment.add_chapter(page, results, drawn(experiment.draw, run, results))
    write_claims(run, claims)
    run.finish({"claims": [claim.as_json() for claim in claims], "results": results})
    page.write(run)
    return claims_table(claims)


def write_claims(run: Run, claims: Sequence[Claim]) -> None:
    """The claims as a table for other programs."""
    run.write_text("tables/claims.csv", csv_text([claim.as_json() for claim in claims]))
