"""Executes the tutorials where they stand, so that their outputs are those of today's code: `make tutorials`.

    python -m tests.tutorials [NAME ...]
    python -m tests.tutorials --keep NAME ...     executes and leaves the files as they are: `make tutorials-short`

Each must end within `LIMIT` seconds; what differs between two machines (times, folders) is not printed by them.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "tutorials"
LIMIT = 180
"""Seconds that a cell may take on two cores."""


def execute(path: Path, limit: float = LIMIT, *, keep: bool = False) -> float:
    """Run one notebook and write its outputs into it; returns the seconds it took. A cell that raises, raises here.

    keep: the file stays as it is.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ["PYTHONPATH"] = str(ROOT)
    started = time.perf_counter()
    NotebookClient(notebook, timeout=int(limit), resources={"metadata": {"path": str(FOLDER)}}).execute()
    if keep:
        return time.perf_counter() - started
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if output.get("name") != "stderr"]
    nbformat.write(notebook, path)
    return time.perf_counter() - started


def main(arguments: list[str]) -> int:
    names = [word for word in arguments if word != "--keep"]
    there = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    if unknown := set(names) - set(there):
        raise SystemExit(f"expected tutorials of {', '.join(there)}, got {', '.join(sorted(unknown))}")
    for name in names or there:
        sys.stderr.write(f"{name}: {execute(there[name], keep='--keep' in arguments):.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
