"""Every script in the README runs as printed (those behind a `<!-- not run: reason -->` line say why not)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"(<!-- not run: [^\n]+ -->\n)?```python\n(.*?)```", README, re.DOTALL)
RUN = [script for skipped, script in SCRIPTS if not skipped]


def test_the_readme_names_the_two_commands():
    assert "make report" in README and "make test" in README
    assert len(RUN) >= 3


@pytest.mark.parametrize("number", range(len(RUN)))
def test_script_runs_as_printed(number, tmp_path):
    out = subprocess.run([sys.executable, "-c", RUN[number]], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, RUN[number] + out.stderr[-2000:]
    assert out.stdout.strip()


def test_figures_named_in_the_readme_exist():
    missing = [name for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README) if not (ROOT / name).exists()]
    assert missing == []
