"""Rules that every experiment shares: intervals over models, verdicts by standard errors, resume from the kept JSON."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
from scipy.stats import t as student

from eval.claims import Claim
from eval.experiment import (
    Experiment,
    Measurement,
    claim_over_seeds,
    combined,
    mean_of_defined,
    mean_score,
    measure_kept,
    standard_error,
)
from eval.results import result
from eval.runs import Run
from eval.scores import Score
from eval.verdicts import above


@result
class Counted(Measurement):
    seed: int
    values: tuple[float, ...]


def test_mean_score_is_the_mean_with_a_t_interval():
    score = mean_score([1.0, 2.0, 3.0, 4.0])
    error = math.sqrt(5 / 3 / 4)
    assert score.value == 2.5 and score.n == 4 and standard_error([1.0, 2.0, 3.0, 4.0]) == pytest.approx(error)
    assert score.interval == pytest.approx([2.5 - 3.182446 * error, 2.5 + 3.182446 * error])


def test_one_model_has_no_interval_and_says_why():
    score = mean_score([2.0])
    assert score.value == 2.0 and score.interval is None
    assert score.interval_reason == "one model says nothing about the spread"
    assert standard_error([2.0]) is None and combined(1.0, None) is None
    assert combined(3.0, 4.0) == 5.0


def test_models_without_a_value_are_left_out_and_none_is_undefined():
    assert mean_of_defined([None, 2.0, 4.0], "none").n == 2
    assert mean_of_defined([None], "no level").reason == "no level"


def test_a_claim_over_seeds_has_the_p_of_students_t():
    claim = claim_over_seeds(
        "c", "s", "p", mean_score([1.0, 1.2, 1.1]), above(0.0), controls={"none": Score.exact(0.0)}
    )
    assert (claim.verdict, claim.seeds) == ("holds", 3)
    assert claim.p == pytest.approx(2 * student.sf(1.1 / (0.1 / math.sqrt(3)), 2), rel=1e-6)


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
