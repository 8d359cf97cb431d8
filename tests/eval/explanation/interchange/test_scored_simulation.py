"""ScoredSimulation files: known keys only; the published package in its own environment scores the same."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.interchange.neuron_record import write_neuron_records
from eval.explanation.interchange.scored_simulation import write_simulation_results
from eval.explanation.rescoring.predictions import FILE, read_predictions, table_bytes, table_of, write_predictions
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from eval.runs import Run
from tests.eval.explanation.planted import Saying, fires_on, make_book, make_windows, says

READ = """
import pathlib, sys
from neuron_explainer.activations.activations import NeuronRecord
from neuron_explainer.explanations.explanations import NeuronSimulationResults
from neuron_explainer.explanations.scoring import aggregate_scored_sequence_simulations
from neuron_explainer.fast_dataclasses import loads

folder = pathlib.Path(sys.argv[1])
for path in (folder / "records").glob("neuron*.json"):
    assert isinstance(loads(path.read_bytes()), NeuronRecord)
for path in (folder / "explanations").glob("*.jsonl"):
    read = loads(path.read_text())
    assert isinstance(read, NeuronSimulationResults)
    ours = read.scored_explanations[0].scored_simulation
    theirs = aggregate_scored_sequence_simulations(ours.scored_sequence_simulations)
    for name in ("ev_correlation_score", "rsquared_score", "absolute_dev_explained_score"):
        assert abs(getattr(ours, name) - getattr(theirs, name)) < 1e-9, name
    print(path.stem, read.scored_explanations[0].explanation, theirs.ev_correlation_score)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("run")
    book = make_book(make_windows(30, 3), {Unit("neuron", 2, 17): fires_on(5, 6)}, n_random=9)
    parts = []
    (found,) = explain_and_score(
        book, Saying(says(5)), RuleSimulator(), settings=Settings(n_resamples=10),
        keep=lambda drafts: parts.append(table_bytes(table_of(drafts))),
    )  # fmt: skip
    write_predictions(folder / FILE, parts)
    write_neuron_records(Run(folder), book, ["words"])
    write_simulation_results(folder / "explanations" / "neuron_L2_17.jsonl", list(read_predictions(folder)))
    value = found.scores["top_and_random"].correlation.value
    assert value is not None
    return folder, value


def test_a_line_holds_known_keys_and_the_runs_own_correlation(run) -> None:
    folder, value = run
    (line,) = (folder / "explanations" / "neuron_L2_17.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert found["neuron_id"] == {"dataclass_name": "NeuronId", "layer_index": 2, "neuron_index": 17}
    (explanation,) = found["scored_explanations"]
    scored = explanation["scored_simulation"]
    assert explanation["explanation"] == "` w5`" and scored["ev_correlation_score"] == pytest.approx(value, abs=1e-9)
    assert len(scored["scored_sequence_simulations"]) == 9 + 5
    assert scored["scored_sequence_simulations"][0]["simulation"].keys() == {
        "dataclass_name", "tokens", "expected_activations", "activation_scale", "distribution_values",
        "distribution_probabilities", "uncalibrated_simulation",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_published_package_reads_and_scores_the_same(run, tmp_path: Path) -> None:
    """Installed in an environment of its own: it wants an older NumPy than we do."""
    folder, value = run
    venv.create(tmp_path / "theirs", with_pip=True)
    python = tmp_path / "theirs" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "automated-interpretability==0.0.24"]
    subprocess.run(install, check=True)
    out = subprocess.run([python, "-c", READ, folder], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr[-2000:] + sys.version
    name, words, score = out.stdout.rsplit(" ", 2)[0].split(" ", 1)[0], "` w5`", float(out.stdout.split()[-1])
    assert name == "neuron_L2_17" and words in out.stdout and score == pytest.approx(value, abs=1e-9)
