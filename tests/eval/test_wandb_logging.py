"""Logging to Weights & Biases with a stand-in for the package: opened once, logged with steps, finished; refusals."""

import sys
from types import SimpleNamespace

import pytest

from eval.errors import UserError
from eval.wandb_logging import wandb_log


class Refused(Exception):
    pass


class FakeRun:
    """Keeps what it is told."""

    def __init__(self):
        self.lines, self.finished = [], 0

    def log(self, record, step=None):
        self.lines.append((step, record))

    def finish(self):
        self.finished += 1


@pytest.fixture
def opened(monkeypatch):
    run, settings = FakeRun(), []

    def init(**given):
        settings.append(given)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Error=Refused))
    return run, settings


def test_records_go_to_the_named_project_with_their_step(opened):
    run, settings = opened
    with wandb_log("codes", {"k": 3}) as log:
        log({"loss": 1.0}, step=5)
        log({"loss": 0.5})
        assert run.finished == 0
    assert settings == [{"project": "codes", "config": {"k": 3}}]
    assert run.lines == [(5, {"loss": 1.0}), (None, {"loss": 0.5})] and run.finished == 1


def test_the_run_is_finished_when_the_work_fails(opened):
    with pytest.raises(RuntimeError), wandb_log("codes", {}):
        raise RuntimeError
    assert opened[0].finished == 1


def test_no_project_and_other_processes_never_open_a_run(opened, monkeypatch):
    with wandb_log("", {}) as log:
        log({"loss": 1.0}, step=1)
    monkeypatch.setenv("RANK", "1")
    with wandb_log("codes", {}) as log:
        log({"loss": 1.0})
    assert opened[1] == []


def test_a_missing_package_and_a_missing_login_are_one_line_each(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(UserError, match="expected the package wandb for --wandb; it is not installed; pip install"):
        wandb_log("codes", {}).__enter__()

    def init(**settings):
        raise Refused("No API key configured.\nUse `wandb login`")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Error=Refused))
    with pytest.raises(UserError, match=r"got No API key configured. Use `wandb login`; run `wandb login` or set"):
        wandb_log("codes", {}).__enter__()
