"""Does the report say the numbers of an older commit? `make same-numbers OLD=<commit>`.

Runs `report` on the embedded model twice on this machine, with the code of the older commit (in a work tree of its own)
and with this checkout's, and compares every value of both `results.json` files: numbers to 1e-9 (relative to the larger
of the two, or absolute below 1), everything else exactly. Left out: `provenance` and `chapters` (times, paths, status).
A key that is new is listed, not counted as a difference; a key that is gone is a difference.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-9
LEFT_OUT = ("provenance", "chapters")


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Every place where two results differ, as `path: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key not in new:
                yield f"{path}/{key}: gone"
            else:
                yield from differences(old[key], new[key], f"{path}/{key}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path}: {len(old)} items -> {len(new)}"
        for number, (first, second) in enumerate(zip(old, new, strict=False)):
            yield from differences(first, second, f"{path}/{number}")
    elif is_number(old) and is_number(new):
        if abs(old - new) > TOLERANCE * max(1.0, abs(old), abs(new)):
            yield f"{path}: {old!r} -> {new!r}"
    elif old != new or type(old) is not type(new):
        yield f"{path}: {old!r} -> {new!r}"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def added(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Keys of the new results that the old ones lack."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in new:
            if key not in old:
                yield f"{path}/{key}"
            else:
                yield from added(old[key], new[key], f"{path}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        yield from added(old[0], new[0], f"{path}/0")


def report(tree: Path, out: Path) -> dict[str, Any]:
    """`results.json` of a report made by the code in `tree`."""
    if not (out / "results.json").exists():
        command = [sys.executable, "-m", "llm_codes", "report", "--model", "embedded", "--out", str(out)]
        subprocess.run(command, cwd=tree, check=True)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return {key: value for key, value in results.items() if key not in LEFT_OUT}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", help="the older commit")
    parser.add_argument("--keep", type=Path, help="folder for both runs; finished ones are read back")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, tree = (chosen.keep or Path(temporary)).resolve(), Path(temporary) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, chosen.old], cwd=ROOT, check=True)
        try:
            old = report(tree, folder / f"old-{chosen.old[:12]}")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
        new = report(ROOT, folder / "new")
    found = list(differences(old, new))
    lines = [*found[:50], *(f"new key {path}" for path in added(old, new)), f"{len(found)} differences"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
