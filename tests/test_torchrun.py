"""Several processes: spectra and its control end every time, with the numbers of one; other verbs refuse at once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from eval import commands
from eval.errors import UserError
from eval.processes import refuse_sharing

ROOT = Path(__file__).resolve().parent.parent
SHARING = {("llm_codes", "spectra"), ("llm_codes", "trajectories"), ("vision_codes", "train")}
TRIES = int(os.environ.get("TORCHRUN_TRIES", "1"))
PATIENCE = 600  # seconds; a loaded machine is slow, a hang does not end


def together(arguments: list[str], processes: int = 2) -> subprocess.CompletedProcess[str]:
    """The verb in several processes at once, each an interpreter of its own, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **shared}
    command = [sys.executable, "-m", "llm_codes", *arguments]
    started = [
        subprocess.Popen(
            command, env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in range(processes)
    ]
    try:
        said = [one.communicate(timeout=PATIENCE) for one in started]
    finally:
        for one in started:
            one.kill()
    code = max(one.returncode for one in started)
    return subprocess.CompletedProcess(command, code, said[0][0], "".join(error for _, error in said))


def spectra_of(folder: Path) -> list[list[float]]:
    results = json.loads((folder / "results.json").read_text())
    return [[row["alpha"], row["n_tokens"]] for key in ("sites", "control_sites") for row in results[key]]


@pytest.mark.timeout(1500 * TRIES)
def test_spectra_with_its_control_ends_every_time(tmp_path, tiny_model_folder, text_folder):
    read = f"--model {tiny_model_folder} --corpus {text_folder} --tokens 2000 --context 64 --sites resid_post"
    words = f"spectra {read} --layers 1 --out".split()
    one = together([*words, str(tmp_path / "one")], processes=1)
    assert one.returncode == 0, one.stderr[-2000:]
    expected = spectra_of(tmp_path / "one")
    for number in range(TRIES):
        out = tmp_path / f"two-{number}"
        found = together([*words, str(out)])
        assert found.returncode == 0, found.stderr[-2000:]
        assert spectra_of(out) == [pytest.approx(row, rel=1e-6) for row in expected]


def test_every_verb_says_whether_it_shares():
    sharing = {
        (wing, command.verb)
        for wing in ("llm_codes", "vision_codes", "toy")
        for command in commands.load_name(f"{wing}.__main__:COMMANDS")
        if command.shares
    }
    assert sharing == SHARING


def test_a_verb_that_does_not_share_refuses_at_once(monkeypatch):
    refuse_sharing("polytopes")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        UserError, match="expected one process: `polytopes` does not share its work; got 2; start it wi"
    ):
        refuse_sharing("polytopes")
