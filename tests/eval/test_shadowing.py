"""A file eval.py in the user's folder: named as the cause, with the cure, in one line; it is never run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.shadowing import complaint

ROOT = Path(__file__).resolve().parents[2]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "eval.py").write_text("open('was_run', 'w')\n")
    return tmp_path


@pytest.mark.parametrize("package", ["llm_codes", "vision_codes", "toy"])
def test_a_command_names_the_file_and_the_cure(folder, package):
    done = python(folder, "-m", package, "--help")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: expected `eval` to be the package of neural-codes ({ROOT / 'eval'}); got {folder / 'eval.py'}, which "
        "hides it; rename that file, start in another folder, or use the command llm-codes, vision-codes or toy-codes\n"
    )
    assert not (folder / "was_run").exists()


def test_an_import_from_a_script_names_them_too(folder):
    (folder / "script.py").write_text("import llm_codes\n")
    done = python(folder, "script.py")
    assert done.returncode == 1
    assert f"ImportError: expected `eval` to be the package of neural-codes ({ROOT / 'eval'}); got" in done.stderr
    assert not (folder / "was_run").exists()


def test_a_console_command_is_the_cure(folder):
    """Its own folder, not the user's, is first on the path; `toy.py` and `eval.py` there do no harm."""
    (folder / "toy.py").write_text("open('was_run', 'w')\n")
    command = "import sys; sys.path.remove(''); from toy.__main__ import main; sys.exit(main(['--help']))"
    done = python(folder, "-c", command)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
    assert not (folder / "was_run").exists()


def test_nothing_to_complain_of_here(tmp_path):
    assert complaint() is None
    assert python(tmp_path, "-m", "toy", "--help").returncode == 0
