"""What of a finding's code has changed is read from the history: computing statements, and no comment or move."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.findings.changes import MOVED, changed_modules, reasons
from eval.findings.finding import Code

FILES = {
    "eval/mean.py": "def mean(x):\n    return sum(x) / len(x)\n",
    "eval/study.py": "from eval.mean import mean\n\n\ndef study(x):\n    return 2 * mean(x)\n",
    "llm_codes/one.py": "A = 1\n",
    "vision_codes/one.py": "A = 1\n",
    "toy/one.py": "A = 1\n",
}


def house(folder: Path, **changed: str) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(changed.get(Path(name).stem, text))
    return folder


@pytest.fixture
def commit(tmp_path: Path) -> str:
    """A repository in `tmp_path` with one commit; its name."""
    git = ["git", "-C", str(house(tmp_path)), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "nothing of it has changed"),
        ({"mean": "# a comment\n" + FILES["eval/mean.py"]}, "nothing of it has changed"),
        ({"mean": "def mean(x):\n    return max(x)\n"}, "changed: `eval.mean`"),
        ({"mean": "def mean(x):\n    return max(x)\n", "study": "from eval.mean import mean\n"},
         "changed: `eval.mean`, `eval.study`"),
        ({"one": "A = 2\n"}, "nothing of it has changed"),
    ],
)  # fmt: skip
def test_what_changed_is_named(changed, words, commit, tmp_path) -> None:
    house(tmp_path, **changed)
    code = Code(commit, ("eval.study",))
    assert reasons([code], tmp_path) == {code: words}


def test_a_module_of_another_name_is_said(commit, tmp_path) -> None:
    (tmp_path / "eval" / "study.py").rename(tmp_path / "eval" / "work.py")
    code = Code(commit, ("eval.work",))
    assert reasons([code], tmp_path) == {code: MOVED}
    with pytest.raises(UserError, match="expected a module of"):
        changed_modules(code, house(tmp_path / "then"), tmp_path)


def test_without_the_commit_nothing_is_said(commit, tmp_path) -> None:
    assert reasons([Code("0" * 40, ("eval.study",))], tmp_path) == {}
