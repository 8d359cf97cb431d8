"""Every experiment of the table of claims is found by its name, at both sizes, and the page says which it was."""

from __future__ import annotations

from pathlib import Path

import pytest

import toy.claims
from eval.experiment import Experiment
from eval.runs import Run
from toy.claims import EXPERIMENTS, experiment_of, judge_all, options_of
from toy.configs.claims import NAMES, ClaimsConfig


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_and_its_options_are_found_by_name(name: str) -> None:
    assert isinstance(experiment_of(name), Experiment)
    usual, full = options_of(name), options_of(name, full=True)
    assert type(usual).__name__ == EXPERIMENTS[name][2] == type(full).__name__ and usual != full
    assert usual == type(usual)()


@pytest.mark.parametrize(("full", "words"), [(False, "the default size (two cores)"), (True, "the papers' sizes")])
def test_the_page_says_the_size(full: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.claims, "measure_all", lambda config, run: {})
    toy.claims.command(ClaimsConfig(out=str(tmp_path), full=full), Run(tmp_path))
    assert words in (tmp_path / "report.html").read_text().replace("&#x27;", "'").replace("&#39;", "'")
    assert judge_all({}) == []
