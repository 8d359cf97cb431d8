"""Scripts as a researcher writes them, each in a process of its own that is forked from one with the slow imports done.

`run(script, folder)` for what a script does; where the imports themselves are the question, `run_afresh`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from tests.killed import CONTEXT

ROOT = Path(__file__).resolve().parent.parent


def _execute(script: str, folder: str, arguments: tuple[str, ...], out: str, said: str) -> None:
    for number, path in ((1, out), (2, said)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(ROOT)  # for what the script itself starts
    sys.argv = ["-c", *arguments]
    sys.modules["__main__"] = main = ModuleType("__main__")
    exec(compile(script, "<string>", "exec"), main.__dict__)


def run(script: str, folder: Path, *arguments: str, seconds: float = 1200) -> subprocess.CompletedProcess[str]:
    """`python -c script arguments` in `folder`: its exit status, what it printed and what it said on standard error."""
    notes = folder.with_name(folder.name + "-script")
    notes.mkdir(exist_ok=True)
    out, said = notes / "out", notes / "said"
    process = CONTEXT.Process(target=_execute, args=(script, str(folder), arguments, str(out), str(said)))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode
    assert code is not None
    return subprocess.CompletedProcess(["python", "-c", script, *arguments], code, out.read_text(), said.read_text())


def run_afresh(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same by an interpreter that has imported nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
