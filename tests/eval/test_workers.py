"""Work in several processes: the same results, errors that cross over, no worker left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.errors import StoppedError
from eval.workers import in_workers


def square(number: int, folder: str) -> tuple[int, int, str]:
    (Path(folder) / f"{number}-{os.getpid()}").touch()
    return number * number, os.getpid(), os.environ["OMP_NUM_THREADS"]


def fail(number: int, folder: str) -> None:
    if number == 1:
        raise StoppedError("expected an even number; got 1; try 2")
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_two_workers_give_what_one_gives_each_with_its_share_of_cores(tmp_path):
    arguments = [(number, str(tmp_path)) for number in range(4)]
    alone = list(in_workers(square, arguments, workers=1, threads=4))
    together = list(in_workers(square, arguments, workers=2, threads=4))
    assert [value for value, _, _ in alone] == [0, 1, 4, 9] and {pid for _, pid, _ in alone} == {os.getpid()}
    assert sorted(value for value, _, _ in together) == [0, 1, 4, 9]
    assert os.getpid() not in {pid for _, pid, _ in together} and {share for _, _, share in together} == {"2"}


def test_an_error_crosses_over_and_ends_the_others(tmp_path):
    start = time.monotonic()
    with pytest.raises(StoppedError, match="expected an even number; got 1; try 2"):
        list(in_workers(fail, [(number, str(tmp_path)) for number in range(2)], workers=2, threads=2))
    assert time.monotonic() - start < 50  # the sleeping worker was not waited for


def test_a_killed_worker_ends_the_work_with_one_line():
    with pytest.raises(StoppedError, match=r"one was killed \(out of memory\?\); what was computed is kept"):
        list(in_workers(die, [(0,), (1,)], workers=2, threads=2))


PARENT = """
import sys
sys.path[:0] = {paths!r}
from {module} import fail
from eval.workers import in_workers
if __name__ == "__main__":
    list(in_workers(fail, [(0, sys.argv[1]), (2, sys.argv[1])], workers=2, threads=2))
"""


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return status != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    here, out = Path(__file__), tmp_path / "pids"
    out.mkdir()
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(paths=[str(here.parents[2]), str(here.parent)], module=here.stem))
    parent = subprocess.Popen([sys.executable, str(script), str(out)])
    until = time.monotonic() + 60
    while len(list(out.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    workers = [int(path.name) for path in out.iterdir()]
    assert len(workers) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 30
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)
