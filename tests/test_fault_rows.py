"""Small inputs and faults that once ended in a traceback or in a wrong number with exit status 0: one row, one test.

What a flag refuses alone is in `test_options_walk.py`, what flags refuse together in `test_impossible_runs.py`, damage,
lost folders and signals in `test_faults.py`, kills in `test_killed_runs.py`, replaced images beside each verb.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from eval import commands
from tests.test_killed_runs import LLM, TOY, VISION, arguments_of, made  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
Made = Callable[[str], str]


def ends(line: str, out: Path, made: Made, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:  # noqa: F811
    """The exit status of a command line and what it said on stderr."""
    wing, *words = line.split()
    arguments = arguments_of("", " ".join(words), made)
    capsys.readouterr()
    status = commands.main(wing, "", commands.load_name(f"{wing}.__main__:COMMANDS"), [*arguments, "--out", str(out)])
    return status, capsys.readouterr().err


SAE = "llm_codes sae train --model {model} --corpus {text} --context 32 --threads 1 --split all --width 2x"
REFUSED = {
    f"{SAE} --sites mlp_out --layers 0 --k 128 --tokens 4096": "expected 1 <= k < 128 features; got k=128",
    f"{SAE} --sites mlp_out --layers 0 --k 200 --tokens 4096": "expected 1 <= k < 128 features; got k=200",
    f"{SAE} --sites mlp_out --layers 0 --k 4 --tokens 1200 --train-batch-size 9999 -q": "--train-batch-size to 1219",
    f"{SAE} --sites mlp_out --layers 0 --k 4 --sparsity -1": "expected --sparsity a number above 0; got -1",
    "toy incidental --l1 nan": "--l1 .*got nan",
    "toy spectra --sparsities ,": "expected at least one value",
    "toy capacity --dropouts ,": "expected at least one value",
    "toy capacity --device word": "unrecognized arguments: --device",
    "toy one-way --steps 0": "--steps a whole number of at least 1; got 0",
    "toy one-way --steps -1": "--steps a whole number of at least 1; got -1",
    "toy capacity --sparsity nan": "nan",
    "toy capacity --seed -1": "--seed a whole number .*got -1",
    "toy capacity --seed 18446744073709551616": "--seed a whole number .*got 18446744073709551616",
    "llm_codes spectra --max-memory-gb inf": "--max-memory-gb .*got inf",
    "llm_codes spectra --device meta": "expected --device cpu, cuda, cuda:N or mps; got 'meta'",
    "llm_codes train-embedded --device cuda": "--device cuda",
    "llm_codes train-embedded --checkpoint-every 0": "--checkpoint-every .*at least 1; got 0",
    "vision_codes train --workers -1": "--workers|unrecognized",
    "vision_codes train --dropout nan": "--dropout .*got nan",
    "vision_codes dropout-sweep --max-units -1": "--max-units .*got -1",
    "vision_codes train --image-size -1": "--image-size .*got -1",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_is_one_line_before_any_work(line, tmp_path, made, capsys) -> None:  # noqa: F811
    status, said = ends(line, tmp_path / "run", made, capsys)
    assert status == 2 and re.search(REFUSED[line], said), said
    assert len(said.strip().splitlines()) == 1, said
    assert {path.name for path in (tmp_path / "run").glob("*")} <= {"config.toml"}


@pytest.fixture
def nan_dictionary(made, tmp_path) -> Path:  # noqa: F811
    """A copy of a good dictionary with one weight that is NaN."""
    folder = shutil.copytree(Path(made("chain")) / "mlp_out", tmp_path / "with-nan")
    path = folder / "sae_weights.safetensors"
    tensors = load_file(path)
    tensors["W_dec"][3, 4] = float("nan")
    save_file(tensors, path)
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "sae eval --sae {nan}",
        "connector train --from {chain}/mlp_in --to {nan}",
        "circuit --connector {chain}/connector --from {chain}/mlp_in --to {nan}",
    ],
)
def test_a_nan_weight_in_a_dictionary_is_named_with_its_tensor(
    line,
    nan_dictionary,
    tmp_path,
    made,  # noqa: F811
    capsys,
) -> None:
    rest = "--model {model} --corpus {text} --context 32 --threads 1 --split all --tokens 1500"
    verb = line.replace("{nan}", str(nan_dictionary))
    status, said = ends(f"llm_codes {verb} {rest}", tmp_path / "run", made, capsys)
    assert status == 2 and "finite weights in with-nan; W_dec has 1 NaN or infinite of 8192" in said, said
    assert len(said.strip().splitlines()) == 1


def subprocess_of(
    arguments: list[str], cwd: str | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")}
    whole = kept | {"PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *arguments], env=whole, cwd=cwd, capture_output=True, check=False)


def test_a_file_name_that_is_no_utf8_is_read_and_shown_escaped(tmp_path, made) -> None:  # noqa: F811
    texts = tmp_path / "texts"
    shutil.copytree(made("text"), texts)
    (texts / "00.txt").rename(texts / os.fsdecode(b"caf\xe9.txt"))
    options = f"--model {made('model')} --context 32 --tokens 3000 --threads 1 --no-control".split()
    command = ["-m", "llm_codes", "spectra", *options, "--corpus", str(texts), "--out", str(tmp_path / "run")]
    done = subprocess_of(command, LANG="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode()
    json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))


def test_a_page_with_other_letters_is_written_where_the_terminal_knows_ascii_only(tmp_path) -> None:
    source = (
        "from eval.report.page import Page\nimport pathlib, sys\n"
        "page = Page('\\u00dcber \\u03b1')\npage.section('Words', 'words').text('na\\u00efve \\u2192 \\U0001f600')\n"
        "pathlib.Path(sys.argv[1]).write_text(page.html(), encoding='utf-8')\n"
    )
    done = subprocess_of(["-c", source, str(tmp_path / "page.html")], LANG="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr.decode()
    assert "naïve → " in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_sweep_whose_figure_has_nothing_positive_to_draw_still_ends(tmp_path, made, capsys) -> None:  # noqa: F811
    flags = VISION["dropout-sweep"].replace("--projections 20", "--projections 10")
    status, said = ends(f"vision_codes dropout-sweep {flags}", tmp_path / "run", made, capsys)
    assert status in (0, 4) and "Traceback" not in said, said
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.slow
def test_polytopes_of_few_images_are_undefined_with_a_reason(tmp_path, made, capsys) -> None:  # noqa: F811
    flags = VISION["polytopes"].replace("--pairs 2", "--pairs 4")
    status, said = ends(f"vision_codes polytopes {flags}", tmp_path / "run", made, capsys)
    assert status in (0, 4) and "Traceback" not in said, said
    results = (tmp_path / "run" / "results.json").read_text(encoding="utf-8")
    density = json.loads(results)["density"]
    assert all(row["ratio_ci"] is None and "3 documents; an interval" in row["ratio_reason"] for row in density)


def test_one_image_a_class_has_no_density_within_and_is_refused(tmp_path, made, capsys) -> None:  # noqa: F811
    generator = np.random.default_rng(0)
    for number in range(10):
        (tmp_path / "images" / str(number)).mkdir(parents=True)
        pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / str(number) / "a.png")
    flags = VISION["polytopes"].replace("--data synthetic", f"--data {tmp_path / 'images'} --split all")
    status, said = ends(f"vision_codes polytopes {flags} -q", tmp_path / "run", made, capsys)
    assert status == 2 and said == "error: expected two classes and two images of one; got 10 classes of at most 1\n"


def test_grey_squares_in_class_folders_are_read_at_their_own_size(tmp_path, made, capsys) -> None:  # noqa: F811
    generator = np.random.default_rng(0)
    for digit in range(3):
        (tmp_path / "digits" / str(digit)).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "digits" / str(digit) / f"{number}.png")
    flags = VISION["unwrap"].replace("{digits}", str(tmp_path / "digits")).replace("--seeds 2", "--seeds 1")
    status, said = ends(f"vision_codes unwrap {flags}", tmp_path / "run", made, capsys)
    assert status == 0 and "Traceback" not in said, said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "spectra --model {network} --data synthetic --images 2 --sites relu --threads 1",
            "a spectrum needs at least 3",
        ),
        ("spectra --model {network} --data synthetic --images 60 --sites relu --fit-last 100000 --threads 1", "100000"),
        (
            "eigenfilters --model {network} --data synthetic --images 2 --sites relu --threads 1",
            "2 images span 1 direction, which holds everything; give at least 3",
        ),
        (
            "eigenfilters --model {network} --data synthetic --images 60 --filters 100000 --sites relu --threads 1",
            "--filters 100,000: there are",
        ),
    ],
)
def test_few_images_and_large_indices_give_reasons(line, words, tmp_path, made, capsys) -> None:  # noqa: F811
    status, said = ends(f"vision_codes {line}", tmp_path / "run", made, capsys)
    assert "Traceback" not in said, said
    results = tmp_path / "run" / "results.json"
    assert words in said + (results.read_text(encoding="utf-8") if results.exists() else ""), said


def test_one_seed_has_no_interval_and_says_so(tmp_path, made, capsys) -> None:  # noqa: F811
    flags = TOY["incidental"].replace("--seeds 3", "--seeds 1")
    status, said = ends(f"toy incidental {flags}", tmp_path / "run", made, capsys)
    assert status == 0 and "Traceback" not in said, said
    rows = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))["claims"]
    undecided = [row for row in rows if row["interval"] is None]
    assert undecided and all(row["verdict"] == "cannot tell" and row["note"] for row in undecided), rows


def test_compare_names_the_run_that_is_no_spectra_run(tmp_path, made, capsys) -> None:  # noqa: F811
    assert ends(f"toy capacity {TOY['capacity']}", tmp_path / "other", made, capsys)[0] == 0
    status, said = ends(f"llm_codes compare {{measured}} {tmp_path / 'other'}", tmp_path / "run", made, capsys)
    assert (
        status == 2 and f"{tmp_path / 'other'}/results.json holds no spectra (no key `sites`); expected a run" in said
    )


def test_compare_says_that_a_run_of_trajectories_is_no_spectra_run(tmp_path, made, capsys) -> None:  # noqa: F811
    other = tmp_path / "other"
    assert ends(f"llm_codes trajectories {LLM['trajectories']} --no-control", other, made, capsys)[0] == 0
    status, said = ends(f"llm_codes compare {{measured}} {other}", tmp_path / "run", made, capsys)
    assert status == 2 and f"{other} is not a spectra run: its sites have no alpha" in said, said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "connector train --edges-per-output 99999 --from {chain}/mlp_in --to {chain}/mlp_out",
            "--edges-per-output 99,999: there are 128 features of the dictionary before; all of them are used",
        ),
        (
            "circuit --context 100000 --connector {chain}/connector --from {chain}/mlp_in --to {chain}/mlp_out",
            "windows of 64 tokens, the context of .*; 100,000 were asked for",
        ),
        (
            "circuit --outputs 5000 --connector {chain}/connector --from {chain}/mlp_in --to {chain}/mlp_out",
            "--outputs 5,000: there are 128 features of the dictionary after; all of them are used",
        ),
    ],
)
def test_what_is_more_than_there_is_is_refused_or_said(line, words, tmp_path, made, capsys) -> None:  # noqa: F811
    common = "--model {model} --corpus {text} --threads 1 --split all --tokens 1500"
    common += "" if "--context" in line else " --context 32"
    status, said = ends(f"llm_codes {line} {common}", tmp_path / "run", made, capsys)
    assert status == 0 and re.search(words, said), said


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write into")
def test_a_folder_that_cannot_be_written_is_no_matter_as_cwd_and_named_as_the_runs(tmp_path) -> None:
    """`/proc` refuses even the administrator."""
    command = ["-m", "toy", "capacity", *TOY["capacity"].split(), "--out"]
    good = subprocess_of([*command, str(tmp_path / "run")], cwd="/proc")
    assert good.returncode == 0, good.stderr.decode()
    bad = subprocess_of([*command, "runs/a"], cwd="/proc")
    said = bad.stderr.decode().strip().splitlines()
    assert bad.returncode in (2, 3) and len(said) == 1 and "runs/a" in said[0], said
