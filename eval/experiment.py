"""What every toy experiment shares: measure, judge, draw, write the page and `results.json`.

An experiment is four functions around one typed result, so that a finished measurement is kept in the run folder as
its JSON, and figures and verdicts can be made again from it:

    measure(options, seed=...) -> result
    judge(result) -> [Claim, ...]           every claim as prediction, measurement, verdict
    draw(run, result) -> {name: SavedFigure}
    add_chapter(page, result, figures)      its chapter of a page
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from scipy.stats import t as student

from eval.claims import Claim, Kind, claims_rows, tally
from eval.progress import say
from eval.report.figures import SavedFigure, drawn
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.results import Result, result
from eval.runs import Run
from eval.scores import Score
from eval.verdicts import Controls, Region, judged_claim

ONE_MODEL = "one model says nothing about the spread"


class ClaimParts(TypedDict, total=False):
    """What a claim may have besides; as in `eval.verdicts.judged_claim`."""

    controls: Controls | None
    note: str
    kind: Kind
    family: str
    tolerance: float | None
    units: str


@result
class Measurement(Result):
    """Base of what an experiment measures.

    warnings: what a reader should know of the setting, in sentences.
    """

    _: dataclasses.KW_ONLY
    warnings: tuple[str, ...] = ()


Measured = TypeVar("Measured", bound=Measurement)


@dataclass(frozen=True)
class Experiment(Generic[Measured]):
    """The four functions of an experiment, one from each file of its room, and the class of its result."""

    kind: type[Measured]
    measure: Callable[..., Measured]
    judge: Callable[[Measured], list[Claim]]
    draw: Callable[[Run, Measured], dict[str, SavedFigure]]
    add_chapter: Callable[[Page, Measured, Mapping[str, SavedFigure]], None]


@result
class ExperimentResults(Result, Generic[Measured]):
    """`results.json` of one experiment."""

    claims: tuple[Claim, ...]
    results: Measured


def mean_score(values: Sequence[float]) -> Score:
    """Mean over independent models with Student's t 95% interval; of one model the interval is undefined."""
    error = standard_error(values)
    mean, n = math.fsum(values) / len(values), len(values)
    if error is None:
        return Score(mean, n=n, interval_reason=ONE_MODEL)
    half = float(student.ppf(0.975, n - 1)) * error
    return Score(mean, mean - half, mean + half, n)


def mean_of_defined(values: Sequence[float | None], undefined: str) -> Score:
    """`mean_score` of the models that have a value; undefined, for the reason given, where none has."""
    known = [value for value in values if value is not None]
    return mean_score(known) if known else Score.undefined(undefined, 0)


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean over independent models; `None` for a single one."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def claim_over_seeds(
    claim: str, source: str, prediction: str, score: Score, region: Region, **more: Unpack[ClaimParts]
) -> Claim:
    """A claim on a mean over models (`mean_score`), judged by the one rule; its p is that of Student's t."""
    return judged_claim(
        claim, source, prediction, score, region, degrees=max(1, (score.n or 2) - 1), over_seeds=True, **more
    )


def combined(*errors: float | None) -> float | None:
    """The standard error of a sum or difference of independent parts, undefined where one is."""
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == len(errors) else None


def claims_table(claims: Sequence[Claim]) -> str:
    """The short table for stdout: failed and undecided claims stand in the same type as the others."""
    rows = [
        {
            "verdict": row["verdict"],
            "claim": row["claim"],
            "predicted": row["prediction"],
            "measured": row["measured"],
            "controls": row["controls"],
        }
        for row in claims_rows(claims)
    ]
    return f"{text_table(rows)}\n{tally(claims)}"


def measure_kept(run: Run, name: str, experiment: Experiment[Measured], options: Any, seed: int) -> Measured:
    """The experiment's results: read back where the run folder has them, else measured; warnings are said once."""

    def compute() -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found = experiment.measure(options, seed=seed)
        texts = tuple(dict.fromkeys(str(item.message) for item in caught if item.category is UserWarning))
        for text in texts:
            say(f"warning: {text}")
        return dataclasses.replace(found, warnings=texts).to_json()

    return experiment.kind.from_json(run.item(name, compute, of=(experiment.measure.__module__,)))


def claims_chapter(page: Page, claims: Sequence[Claim]) -> None:
    """The table of claims, first on the page."""
    section = page.section("Claims", "claims")
    section.text(f"{len(claims)} claims: {tally(claims)}. Failed and undecided ones are listed like the others.")
    section.table(claims_rows(claims), caption="measured +- standard error, or [95% interval]")


def run_experiment(experiment: Experiment, name: str, title: str, options: Any, seed: int, run: Run) -> str:
    """Measure, judge, draw, write page and results; returns the short table for stdout."""
    found = measure_kept(run, name, experiment, options, seed)
    claims = experiment.judge(found)
    page = Page(title, f"seed {seed}; every number below is also in results.json")
    claims_chapter(page, claims)
    experiment.add_chapter(page, found, drawn(experiment.draw, run, found))
    write_claims(run, claims)
    run.finish(ExperimentResults(tuple(claims), found).to_json())
    page.write(run)
    return claims_table(claims)


def write_claims(run: Run, claims: Sequence[Claim]) -> None:
    """The claims as a table for other programs."""
    run.write_text("tables/claims.csv", csv_text([claim.to_json() for claim in claims]))
