"""One place decides the exit status: 0, 1, 2, 3, 4, 130, 143, each with one line."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest

from eval.errors import IncompleteError, StoppedError, UserError
from eval.exit_status import Terminated, ending, report, termination_is_an_interrupt


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("expected a,\n  got b"), 2, "error: expected a, got b"),
        (StoppedError("quota reached"), 3, "error: quota reached"),
        (IncompleteError("2 of 5 chapters failed"), 4, "error: 2 of 5 chapters failed"),
        (MemoryError(), 3, "error: out of memory; lower --batch-size"),
        (OutOfMemoryError("CUDA"), 3, "error: out of memory; lower --batch-size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), 3, "error: out of memory"),
        (OSError(errno.ENOSPC, "No space left", "a.npz"), 3, "error: no space left on the disk while writing a.npz"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.txt"), 2, "error: No such file: a.txt"),
        (ZeroDivisionError("division by zero"), 1, "error: the program failed at test_exit_status.py:"),
        (KeyboardInterrupt(), 130, "interrupted: this verb keeps nothing; run the same command to start again"),
        (Terminated(), 143, "terminated: this verb keeps nothing"),
    ],
)
def test_status_and_line(error, status, line):
    found, text = ending(raised(error), None)
    assert found == status
    assert text.startswith(line)
    assert "\n" not in text


def test_an_interrupt_says_what_is_kept(tmp_path):
    folder = tmp_path / "run"
    assert ending(KeyboardInterrupt(), folder)[1].startswith("interrupted: nothing was finished yet")
    (folder / "items").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "items" / "a.json").write_text("1")
    assert ending(Terminated(), folder)[1] == (
        f"terminated: 1 finished piece of work and what else was written are kept in {folder}; "
        "run the same command to continue"
    )


def test_an_unforeseen_failure_points_to_its_log(tmp_path, capsys):
    assert report(raised(ValueError("x")), tmp_path, debug=False) == 1
    assert "--debug shows the traceback" in capsys.readouterr().err
    (tmp_path / "error.log").write_text("Traceback")
    assert report(raised(ValueError("x")), tmp_path, debug=True) == 1
    err = capsys.readouterr().err
    assert f"ValueError: x (the traceback is in {tmp_path / 'error.log'})" in err
    assert "Traceback (most recent call last)" in err


def test_sigterm_is_an_interrupt_within_the_block_only():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), termination_is_an_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before
