"""What is said where stderr is no terminal: a line every interval, through the standard logging module."""

from __future__ import annotations

import logging
import time

import pytest

from eval import progress as module
from eval.progress import LOGGER, duration, hide_bars, progress, progress_bar, quiet_loggers, say, set_verbosity, watch


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(module, "_ticker", module._Ticker())
    monkeypatch.setattr(module, "LINE_SECONDS", 0.05)
    yield
    set_verbosity(quiet=False, verbose=False)
    module._ticker.hidden = True  # ends what the thread says


def test_a_line_with_item_share_rate_and_time_left(capsys):
    with progress_bar(label="sites", total=100, unit="site") as bar:
        bar.update(25)
        time.sleep(0.4)
    err = capsys.readouterr().err
    assert "sites: 25 of 100 site (25%), " in err
    assert "/s" in err or "s per site" in err


def test_a_line_while_one_item_takes_long(capsys):
    for _ in progress([1], label="networks", unit="network"):
        time.sleep(0.4)
    assert "networks: 0 of 1 network (0%), 0 network/s, no estimate yet" in capsys.readouterr().err


def test_a_command_without_a_bar_says_that_it_is_at_work(capsys):
    watch("polytopes")
    time.sleep(0.4)
    watch("")
    assert "polytopes: 0 s so far" in capsys.readouterr().err


def test_workers_say_nothing(capsys):
    hide_bars()
    for _ in progress([1], label="networks"):
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_the_rate_of_a_continued_run_leaves_out_what_was_done_before(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    count = module._Count("train", 1000, "tok")
    count.update(500)
    count.mark()
    clock[0] = 10.0
    count.update(100)
    assert count.line() == "train: 600 of 1,000 tok (60%), 10 tok/s, 40 s left"


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_quiet_keeps_warnings_and_errors(capsys):
    set_verbosity(quiet=True, verbose=False)
    say("chapter spectra")
    say("warning: thin")
    say("error: bad")
    assert capsys.readouterr().err == "warning: thin\nerror: bad\n"


def test_verbose_adds_the_time_of_day(capsys):
    set_verbosity(quiet=False, verbose=True)
    say("detail", logging.DEBUG)
    assert capsys.readouterr().err.rstrip().endswith(" detail")


def test_other_loggers_are_left_alone():
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    set_verbosity(quiet=True, verbose=False)
    assert (root.level, list(root.handlers)) == before
    assert LOGGER.name == "neural_codes"


def test_other_libraries_are_quiet_within_a_block_and_as_before_after_it():
    logger = logging.getLogger("transformer_lens")
    before = logger.level
    logger.setLevel(logging.INFO)
    with pytest.raises(KeyError), quiet_loggers("transformer_lens"):
        assert logger.level == logging.ERROR
        raise KeyError
    assert logger.level == logging.INFO
    logger.setLevel(before)
