"""`python -m toy claims` from end to end at a tiny size: contract of results.json, resume, determinism, bad input."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import pytest

import toy.claims
from eval.claims import VERDICTS
from eval.result_json import to_json
from eval.runs import Run
from toy.__main__ import main
from toy.capacity.command import EXPERIMENT
from toy.claims import options_of
from toy.configs.claims import ClaimsConfig

TINY = {
    "capacity": {"trials": 200, "layers": 3, "width": 10, "message": 6},
    "incidental": {
        "sizes": ("4x8",),
        "seeds": 3,
        "steps": 40,
        "noise_steps": 40,
        "noise_seeds": 2,
        "row_hidden": 100,
        "row_seeds": 2,
        "sgd_steps": 10,
        "sgd_seeds": 2,
        "movie_size": "3x4",
        "rates": (0.1, 0.2),
        "rate_size": "4x8",
        "rate_seeds": 2,
    },
    "superposition": {"n_features": 8, "n_hidden": 3, "levels": 4, "steps": 30, "batch": 8, "phase_resolution": 2},
    "dropout-channel": {
        "bits": 2,
        "width": 6,
        "layers": 2,
        "steps": 10,
        "samples": 200,
        "decoder_steps": 10,
        "depths": 2,
        "self_test_samples": 800,
        "self_test_steps": 10,
    },
    "one-way": {"prime_sets": ("5+7",), "steps": 20, "probe_steps": (5, 10), "width": 8, "layers": 1},
    "bench": {
        "seeds": 2,
        "n_features": 4,
        "n_hidden": 3,
        "gates": 3,
        "gate_width": 5,
        "words": 4,
        "network_steps": 10,
        "dictionary_width": 8,
        "dictionary_steps": 10,
        "samples": 200,
        "cluster_samples": 50,
    },  # fmt: skip
    "spectra": {"n_features": 12, "n_hidden": 5, "steps": 10, "samples": 100},
}
CONTRACT = {"claim", "source", "prediction", "measured", "standard_error", "tolerance", "verdict", "seeds"}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = toy.claims.options_of

    def small(name: str, **size):
        return dataclasses.replace(usual(name, **size), **TINY[name])

    monkeypatch.setattr(toy.claims, "options_of", small)


def run(folder: Path, *more: str) -> dict:
    assert main(["claims", "--out", str(folder), "--threads", "1", *more]) == 0
    return json.loads((folder / "results.json").read_text())


def test_claims_from_end_to_end(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results = run(tmp_path / "a")
    assert list(results)[0] == "claims"
    assert len(results["claims"]) > 40
    for claim in results["claims"]:
        assert CONTRACT <= set(claim)
        assert claim["verdict"] in VERDICTS
        assert claim["measured"] is not None or claim["note"]
    shown = capsys.readouterr().out
    failed = [claim["claim"] for claim in results["claims"] if claim["verdict"] == "fails"]
    assert failed and all(claim in shown for claim in failed)
    page = (tmp_path / "a" / "report.html").read_text()
    assert "weights-movie" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert (tmp_path / "a" / "figures" / "incidental-counts.pdf").exists()
    again = toy.claims.measure_all(ClaimsConfig(out=str(tmp_path / "b")), Run(tmp_path / "b"))
    assert to_json(again) == results["experiments"]


def test_a_finished_experiment_is_not_measured_again(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "--only", "capacity")

    def measure(config: object) -> dict:
        pytest.fail("measured again")

    measure.__module__ = EXPERIMENT.measure.__module__  # a measure of another module would be other code
    forbidden = replace(EXPERIMENT, measure=measure)
    monkeypatch.setattr("toy.capacity.command.EXPERIMENT", forbidden)
    assert run(tmp_path, "--only", "capacity")["claims"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["claims", "--only", "capasity"], "unknown --only 'capasity': did you mean capacity"),
        (["claims", "--only", "capacity,capacity"], "expected each value of --only once; got 'capacity' twice"),
        (["incidental", "--sizes", "16"], "expected a size as FEATURESxHIDDEN; got '16'"),
        (["incidental", "--sizes", "16x0"], "expected a size of at least 2 features and 1 hidden unit; got '16x0'"),
        (["incidental", "--sizes", "2000000x2000000"], "GiB are available; lower the number of features"),
        (["incidental", "--row-hidden", "1000000000000"], "40 rows of 1000000000000 hidden units"),
        (["incidental", "--noise-seeds", "1000000000000"], "1000000000000 models of 8 features"),
        (["incidental", "--l1", "nan"], "expected --l1 a number of at least 0 and at most 1000; got nan"),
        (["incidental", "--l1", "1e300"], "expected --l1 a number of at least 0 and at most 1000; got 1e+300"),
        (["incidental", "--noise", "laplas"], "unknown --noise 'laplas': did you mean laplace"),
        (["incidental", "--noises", ","], "expected at least one value for --noises; got an empty list"),
        (["superposition", "--n-features", "0"], "expected --n-features a whole number of at least 2; got 0"),
        (["superposition", "--entropies", "0"], "expected --entropies a number above 0; got 0"),
        (["superposition", "--phase-resolution", "1000000"], "a phase diagram of 1000000 x 1000000 cells"),
        (["superposition", "--seeds", "1000000000000"], "14000000000000 models of 120 features"),
        (["dropout-channel", "--dropout", "1.5"], "expected --dropout a number of at least 0 and below 1; got 1.5"),
        (["dropout-channel", "--samples", "1000000000000"], "expected 1000000000000 messages to fit into memory"),
        (["dropout-channel", "--self-test-samples", "1000000000000"], "1000000000000 self-test pairs to fit"),
        (["dropout-channel", "--seeds", "1000000000000"], "2000000000000 networks of width 24"),
        (["dropout-channel", "--bits", "30"], "expected --bits at most --width; got 30 bits and 24 neurons"),
        (["dropout-channel", "--estimator", "mien"], "unknown --estimator 'mien': did you mean mine"),
        (["capacity", "--sparsity", "2"], "expected --sparsity a number of at least 0 and at most 1; got 2"),
        (["capacity", "--sparsity", "nan"], "expected --sparsity a number of at least 0 and at most 1; got nan"),
        (["capacity", "--dropouts", ","], "expected at least one value for --dropouts; got an empty list"),
        (["capacity", "--trials", "1000000000000"], "1000000000000 cascades of width 40 to fit into memory"),
        (["capacity", "--message", "41"], "expected --message at most --width; got 41 and 40"),
        (["capacity", "--device", "cpu"], "unrecognized arguments: --device cpu"),
        (["one-way", "--prime-sets", "4+6"], "expected primes; got 4, which is not prime"),
        (["one-way", "--prime-sets", "5+5"], "expected distinct primes; got 5 twice"),
        (["one-way", "--prime-sets", ","], "expected at least one value for --prime-sets; got an empty list"),
        (["one-way", "--prime-sets", "5", "--held-out", ".99"], "expected --held-out to leave 2 triples for training"),
        (["one-way", "--steps", "0"], "expected --steps a whole number of at least 1; got 0"),
        (["one-way", "--steps", "-1"], "expected --steps a whole number of at least 1; got -1"),
        (["one-way", "--width", "1000000000"], "triples of primes up to 23 to fit into memory"),
        (["spectra", "--sparsities", ","], "expected at least one value for --sparsities; got an empty list"),
        (["spectra", "--sparsities", "0.5,1"], "expected --sparsities a number of at least 0 and below 1; got 1"),
        (["spectra", "--samples", "1000000000000"], "1000000000000 inputs of 60 features to fit into memory"),
        (["spectra", "--seed", "-1"], "expected --seed a whole number of at least 0 and at most 2^63 - 1; got -1"),
    ],
)
def test_bad_input_is_one_line_on_stderr(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("error: ") and words in error[-1]


def test_no_pressure_for_sparsity_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = "--sizes 3x4 --seeds 2 --steps 5 --noises rademacher --noise-steps 5 --noise-seeds 2 --row-hidden 50"
    options += " --row-seeds 2 --sgd-steps 5 --sgd-seeds 2 --movie-size 2x3 --l1 0"
    assert main(["incidental", "--out", str(tmp_path), *options.split()]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "lambda = 0 and no noise" in line]
    assert len(warned) == 1


@pytest.mark.parametrize("name", ["incidental", "superposition", "one-way", "dropout-channel"])
def test_a_single_model_has_undefined_intervals_with_their_reason(name: str, tmp_path: Path) -> None:
    seeds = [field for field in ("seeds", "noise_seeds", "row_seeds", "sgd_seeds") if hasattr(options_of(name), field)]
    changes = {key: value for key, value in TINY[name].items() if "seeds" not in key} | dict.fromkeys(seeds, 1)
    words = []
    for key, value in changes.items():
        words += [f"--{key.replace('_', '-')}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    assert main([name, *words, "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    if name == "incidental":
        assert results["counts"][0]["standard_error"] is None
        assert results["counts"][0]["mean_reason"] == "one model says nothing about the spread"
    if name == "superposition":
        assert results["levels"][0]["dimensions_reason"] == "one model says nothing about the spread"
        assert "not drawn" not in (tmp_path / "report.html").read_text()
    if name == "one-way":
        assert results["varying"][0]["cells"][0]["standard_error"] == [None, None]
    if name == "dropout-channel":
        assert results["curves"]["untrained"]["standard_error"] == [None, None]
