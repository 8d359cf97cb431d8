"""Options that are each possible and together are not, and runs too large: refused in one line before any work.

What a single flag refuses is walked by its declaration (`test_options_walk.py`); these are the derived quantities.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eval import commands

CASES = {
    "toy one-way --prime-sets 5+5": "expected distinct primes; got 5 twice",
    "toy dropout-channel --samples 1000000000000": "to fit into memory; it needs about",
    "toy superposition --phase-resolution 1000000": "to fit into memory; it needs about",
    "vision_codes train --data synthetic --latent 1000000000000": "weights and optimiser; .* would be needed",
    "vision_codes dropout-sweep --data synthetic --projections 5": "--projections a whole number of at least 10; got 5",
    "vision_codes polytopes --data synthetic --min-cluster-size 1": "--min-cluster-size a whole number of at least 2",
    "vision_codes polytopes --device cuda:7": "expected --device cpu: this verb .* got cuda:7",
    "llm_codes sae train --sites resid_post,resid_post": "each value of --sites once; got 'resid_post' twice",
    "llm_codes sae train --sites mlp_out --train-batch-size 1": "--train-batch-size a whole number of at least 2",
    "llm_codes sae train --sites mlp_out --sparsity 0": "--sparsity a number above 0; got 0",
    "llm_codes spectra --fit-first 30 --fit-last 5": "--fit-last above --fit-first 30; got 5",
    "llm_codes spectra --exclude-positions -1": "--exclude-positions a whole number of at least 0; got -1",
    "llm_codes train-embedded --vocabulary 200": "--vocabulary a whole number of at least 257; got 200",
}


@pytest.mark.parametrize("line", CASES)
def test_what_cannot_be_run_is_said_in_one_line(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wing, *arguments = line.split()
    out = tmp_path / "run"
    table = commands.load_name(f"{wing}.__main__:COMMANDS")
    assert commands.main(wing, "", table, [*arguments, "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and re.search(CASES[line], said[0]), said
    assert {path.name for path in out.glob("*")} <= {"config.toml"}
