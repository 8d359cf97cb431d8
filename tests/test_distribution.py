"""What is shipped: one version, an sdist and a wheel with package data and console scripts, small enough."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WINGS = ("eval", "llm_codes", "vision_codes", "toy")
LARGEST_WHEEL = 25e6
"""Bytes."""
UNSHIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the sdist and the wheel, built from a copy of what is shipped."""
    source = tmp_path_factory.mktemp("source")
    for name in WINGS:
        shutil.copytree(ROOT / name, source / name, ignore=UNSHIPPED)
    for path in ROOT.iterdir():
        if path.suffix in (".toml", ".md", ".txt", ".cff", ".in") or path.name == "LICENSE":
            shutil.copy(path, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return source / "dist"


def test_there_is_one_version():
    version = PROJECT["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_wheel_holds_packages_data_and_scripts(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size <= LARGEST_WHEEL
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        scripts = re.findall(r"^([\w-]+) = ", archive.read(entry).decode(), re.MULTILINE)
    assert sorted(scripts) == sorted(PROJECT["scripts"])
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == set(WINGS)
    data = [
        path.relative_to(ROOT).as_posix()
        for wing in WINGS
        for path in (ROOT / wing).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert sorted(set(data) - names) == []


def test_the_sdist_builds_what_the_wheel_holds(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt"} <= names
    assert "llm_codes/pretrained/gpt2-sotu/model.safetensors" in names


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_works_in_a_clean_environment(built, tmp_path):
    """Every console script answers, outside the checkout; the packages come from the index as a user's would."""
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "clean", with_pip=True)
    binaries = tmp_path / "clean" / "bin"
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    subprocess.run([*pip, "torch"], check=True)
    subprocess.run([*pip, wheel], check=True)
    for script in PROJECT["scripts"]:
        out = subprocess.run([binaries / script, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert out.stdout.startswith(f"neural-codes {PROJECT['version']}, ")
    lines = "from llm_codes import load_model; from vision_codes import load_images; print(load_model('embedded').name)"
    out = subprocess.run([binaries / "python", "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "gpt2-sotu" in out.stdout or "embedded" in out.stdout
