"""What of a finding's code has changed since its commit, from the repository's history: why a page says `stale`."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from eval.code_identity import PACKAGES, ROOT, closure, module_digests
from eval.errors import UserError
from eval.findings.finding import Code

LISTED = 6
"""So many modules are named; of more, their number is said."""
MOVED = "modules were renamed or split since, so that they cannot be set beside those of its commit one by one"


def reasons(codes: Iterable[Code], root: Path = ROOT) -> dict[Code, str]:
    """Why the number could differ today, in words, by code; nothing for code without a history at hand.

    Comments, drawing and moved statements are no changes, as in `eval.code_identity`.
    """
    found: dict[Code, str] = {}
    by_commit: dict[str, list[Code]] = {}
    for code in codes:
        by_commit.setdefault(code.commit, []).append(code)
    for commit, listed in by_commit.items():
        with tempfile.TemporaryDirectory() as folder:
            if _extracted(commit, root, Path(folder)):
                found |= {code: _reason(code, Path(folder), root) for code in listed if code.modules}
    return found


def changed_modules(code: Code, then: Path, now: Path) -> list[str]:
    """The modules beneath `code.modules` with a statement that the other tree has nowhere beneath them.

    Raises:
        UserError: a module of that name is not in both trees.
    """
    old, new = ({name: set(module_digests(root, name)) for name in closure(code.modules, root)} for root in (then, now))
    all_old, all_new = set().union(*old.values()), set().union(*new.values())
    names = sorted(old.keys() | new.keys())
    return [name for name in names if new.get(name, set()) - all_old or old.get(name, set()) - all_new]


def _reason(code: Code, then: Path, now: Path) -> str:
    try:
        names = changed_modules(code, then, now)
    except UserError:
        return MOVED
    if not names:
        return "nothing of it has changed"
    if len(names) <= LISTED:
        return "changed: " + ", ".join(f"`{name}`" for name in names)
    every = {*closure(code.modules, then), *closure(code.modules, now)}
    return f"changed: {len(names)} of the {len(every)} modules beneath it then and today"


def _extracted(commit: str, root: Path, folder: Path) -> bool:
    """Whether the Python files of a commit could be written into a folder."""
    command = ["git", "-C", str(root), "archive", commit, *PACKAGES, ":(exclude)*.safetensors"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        return False
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = [one for one in archive.getmembers() if one.name.endswith((".py", ".txt"))]
        archive.extractall(folder, members, filter="data")
    return True
