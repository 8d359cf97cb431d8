"""Rules that every experiment shares: intervals over models, verdicts by standard errors, resume from the kept JSON."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest

from eval.claims import Claim
from eval.experiment import (
    Experiment,
    Measurement,
    combined,
    mean_score,
    measure_kept,
    separated,
    standard_error,
    times,
    within,
)
from eval.results import result
from eval.runs import Run


@result
class Counted(Measurement):
    seed: int
    values: tuple[float, ...]


def test_mean_score_is_the_mean_with_a_normal_interval():
    score = mean_score([1.0, 2.0, 3.0, 4.0])
    error = math.sqrt(5 / 3 / 4)
    assert score.value == 2.5 and score.n == 4 and standard_error([1.0, 2.0, 3.0, 4.0]) == pytest.approx(error)
    assert score.interval == pytest.approx([2.5 - 1.96 * error, 2.5 + 1.96 * error])


def test_one_model_has_no_interval_and_says_why():
    score = mean_score([2.0])
    assert score.value == 2.0 and score.interval is None
    assert score.interval_reason == "one model says nothing about the spread"
    assert standard_error([2.0]) is None and times(3, None) is None and combined(1.0, None) is None
    assert combined(3.0, 4.0) == 5.0 and times(3, 2.0) == 6.0


@pytest.mark.parametrize(
    ("difference", "error", "verdict"),
    [
        (0.31, 0.1, "holds"),
        (0.29, 0.1, "cannot tell"),
        (-0.29, 0.1, "cannot tell"),
        (-0.31, 0.1, "fails"),
        (9.0, None, "cannot tell"),
    ],
)
def test_separated_needs_three_standard_errors(difference, error, verdict):
    assert separated(difference, error) == verdict


@pytest.mark.parametrize(
    ("measured", "tolerance", "verdict"),
    [
        (1.1, 0.11, "holds"),
        (0.9, 0.11, "holds"),
        (1.12, 0.11, "fails"),
        (0.88, 0.11, "fails"),
        (1, None, "cannot tell"),
    ],
)
def test_within_is_two_sided(measured, tolerance, verdict):
    assert within(measured, 1.0, tolerance) == verdict


def test_a_finished_measurement_is_read_back_as_its_type(tmp_path: Path, capsys):
    calls = []

    def measure(options: object, *, seed: int) -> Counted:
        calls.append(seed)
        for _ in range(2):
            warnings.warn("too small", stacklevel=1)
        return Counted(seed, (1.0, 0.1))

    def judge(found: Counted) -> list[Claim]:
        return []

    experiment = Experiment(Counted, measure, judge, lambda run, found: {}, lambda page, found, figures: None)
    found = [measure_kept(Run(tmp_path), "counted", experiment, None, 3) for _ in range(2)]
    assert calls == [3] and found[0] == found[1] == Counted(3, (1.0, 0.1), warnings=("too small",))
    assert capsys.readouterr().err.count("too small") == 1
