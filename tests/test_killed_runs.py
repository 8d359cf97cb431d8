"""Every verb, killed at a random moment (SIGKILL, a process of its own) and continued, ends as the unbroken run.

The moment is drawn anew in every session; its seed is in the name of the test's folder and in every failure.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eval import commands
from eval.measures.connectors.connector import Connector
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.connectors.files import save_connector
from llm_codes.lenses.saes.study import train_saes
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.models import load_model
from llm_codes.sites import resolve_site
from tests.killed import Started, left_by
from tests.llm_codes.lenses.circuits.test_confirm import form
from vision_codes.models import load_model as classifier

SEED = int(os.environ.get("KILLED_RUNS_SEED", random.SystemRandom().randrange(10**6)))
SYNTHETIC = "--data synthetic --image-size 32 --base-width 4 --fully-connected 16 --latent 4 --threads 1"
TEXT = "--model {model} --corpus {text} --context 32 --threads 1"
PAIR = "--connector {chain}/connector --from {chain}/mlp_in --to {chain}/mlp_out --split all --tokens 1500"
TOY = {
    "capacity": "--trials 200 --layers 3 --width 10 --message 6",
    "superposition": "--n-features 8 --n-hidden 3 --levels 4 --steps 30 --batch 8 --phase-resolution 2",
    "incidental": "--sizes 4x8 --seeds 3 --steps 40 --noise-steps 40 --noise-seeds 2 --row-hidden 100 --row-seeds 2 "
    "--sgd-steps 10 --sgd-seeds 2 --movie-size 3x4",
    "dropout-channel": "--bits 2 --width 6 --layers 2 --steps 10 --samples 200 --decoder-steps 10 --depths 2 "
    "--self-test-samples 800 --self-test-steps 10",
    "one-way": "--prime-sets 5+7 --steps 20 --probe-steps 5,10 --width 8 --layers 1",
    "spectra": "--n-features 12 --n-hidden 5 --steps 10 --samples 100",
    "claims": "--only capacity,spectra",
}
EMBEDDED = "--threads 1 --context 32 --tokens 2000"
LLM = {
    "harvest": f"{TEXT} --tokens 6000 --shard-mb 0.2",
    "spectra": f"{TEXT} --tokens 6000",
    "trajectories": f"{TEXT} --tokens 6000 --projections 20",
    "polytopes": f"{TEXT} --split all --tokens 2500 --layers 0: --rays 2 --features 6 --directions 6 "
    "--dictionary-steps 5",
    "explain": f"{TEXT.replace('--context', '--window')} --tokens 9000 --per-layer 3 --resamples 50",
    "sae train": f"{TEXT} --sites mlp_out --layers 1 --width 2x --k 6 --split all --tokens 4096 "
    "--train-batch-size 128 --block-windows 16",
    "sae eval": f"{TEXT} --sae {{chain}}/mlp_out --split all --tokens 3000 --dashboards 5",
    "sae replacement": f"{EMBEDDED} --fit-tokens 2000",
    "circuit weights": f"{EMBEDDED} --fit-tokens 1500 --targets 10 --candidates 32 --windows-tested 4",
    "connector train": f"{TEXT} {PAIR.replace('--connector {chain}/connector ', '')}",
    "connector eval": f"{TEXT} {PAIR} --fit-tokens 1500 --frontier 1 --frontier-steps 5 --edges-tested 5 "
    "--logic-outputs 4",
    "connector confirm": f"{TEXT} {PAIR} --found {{found}}",
    "connector show": f"{TEXT} {PAIR} OF_0",
    "circuit": f"{TEXT} {PAIR} --outputs 5",
    "circuit graph": "--threads 1 --max-features 200 --sources 2",
    "circuit test": f"{EMBEDDED} --prompt-count 4 --max-features 200 --sources 2",
    "circuit curve": f"{EMBEDDED} --per-kind 2 --steps 3 --graph-features 200",
    "circuit patch": f"{EMBEDDED} --per-kind 1 --paths none --features 2",
    "explain rescore": "{explained} --threads 1",
    "compare": "{measured} {measured} --threads 1",
    "train-embedded": "--corpus {text} --n-layers 2 --width 16 --n-heads 2 --vocabulary 300 --context 16 --steps 40 "
    "--batch-size 2 --checkpoint-every 4 --stride 8 --threads 1",
    "report": f"{TEXT} --tokens 6000 --chapters spectra,trajectories",
}
VISION = {
    "train": f"--preset small {SYNTHETIC} --epochs 3 --images 60 --validation-images 10 --checkpoint-steps 1",
    "spectra": "--model {network} --data synthetic --images 60 --sites relu,layer2.0.relu1,layer4.1.relu2 --threads 1",
    "eigenfilters": "--model {network} --data synthetic --images 60 --sites relu,layer2.0.relu1 --threads 1",
    "projections": "--model {network} --frames 60 --projections 20 --refinements 20,40 --threads 1",
    "polytopes": "--model {weights} --data synthetic --images 12 --image-size 32 --pairs 2 --samples 5 --patches 100 "
    "--slice-regions 20 --slice-size 0 --most-samples 5 --threads 1",
    "unwrap": "--data {digits} --seeds 2 --epochs 1 --sae-steps 8 --connector-steps 8 --refit-steps 8 --joint-steps 4 "
    "--hidden 16 --active 4,4,4 --edges 4 --threads 1",
    "dropout-sweep": f"--preset small {SYNTHETIC} --epochs 1 --images 60 --validation-images 10 --dropouts 0,0.5 "
    "--seeds 1 --frames 60 --projections 20 --spectra-images 60 --control-images 30 --jobs 1",
    "report": "--sweep {swept}",
}
NO_RUN = {"llm_codes sites": "prints and keeps nothing"}
"""Verbs that are not killed here, each with the reason; those of the ground floor read run folders and keep nothing."""
TABLES = {"toy": TOY, "llm_codes": LLM, "vision_codes": VISION}
QUICK = (("toy", "capacity"), ("vision_codes", "train"))
VERBS = [
    pytest.param(wing, verb, flags, id=f"{wing} {verb}", marks=[] if (wing, verb) in QUICK else pytest.mark.slow)
    for wing, table in TABLES.items()
    for verb, flags in table.items()
]


@pytest.fixture(scope="session")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Paths of the things that verbs are shown, each made when it is first asked for."""
    known: dict[str, str] = {}

    def path_of(name: str) -> str:
        if name not in known:
            known[name] = str(MAKERS[name](request, tmp_path_factory.mktemp(name)))
        return known[name]

    return path_of


def make_chain(request: pytest.FixtureRequest, out: Path) -> Path:
    """Two dictionaries of a tiny model and a connector that hands every feature on."""
    model = load_model(str(request.getfixturevalue("tiny_model_folder")))
    text = str(request.getfixturevalue("text_folder"))
    corpus = load_corpus(text, model.tokenizer, context=32, n_tokens=1500, split="all")
    fit = TrainingOptions(tokens=8 * 128, train_batch_size=128, block_windows=16)
    specs = [SAESpec(resolve_site(model, name, 1).hook, 64, 128, k=6) for name in ("mlp_in", "mlp_out")]
    for name, path in zip(("mlp_in", "mlp_out"), train_saes(model, corpus, specs, out, fit), strict=True):
        path.rename(out / name)
    save_connector(Connector.from_dense(torch.eye(128), torch.zeros(128), "relu"), out / "connector")
    return out


def make_network(request: pytest.FixtureRequest, out: Path) -> Path:
    """A trained ResNet-VAE, tiny."""
    flags = VISION["train"].replace("--epochs 3", "--epochs 1").split()
    assert Started("vision_codes", ["train", *flags], out / "run").finish().status == 0
    return out / "run"


def make_weights(request: pytest.FixtureRequest, out: Path) -> Path:
    """Weights of a ResNet-18, untrained."""
    torch.save(classifier("resnet18", untrained=True, n_classes=10).module.state_dict(), out / "resnet.pt")
    return out / "resnet.pt"


def make_digits(request: pytest.FixtureRequest, out: Path) -> Path:
    """Grey squares of three classes."""
    generator = np.random.default_rng(0)
    for digit in range(3):
        (out / str(digit)).mkdir()
        for number in range(20):
            pixels = generator.integers(0, 256, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(out / str(digit) / f"{number}.png")
    return out


def make_found(request: pytest.FixtureRequest, out: Path) -> Path:
    """A run of `connector eval` that named two forms: so small a model has none."""
    forms = [form(3, [4], 0.1, 0.1), form(3, [4, 5], 0.1, 0.1, "or")]
    found = {"logic_forms": {"forms": forms}, "provenance": {"corpus": {"source": "another"}}}
    (out / "results.json").write_text(json.dumps(found), encoding="utf-8")
    return out


def finished(wing: str, verb: str) -> Callable[[pytest.FixtureRequest, Path], Path]:
    """Makes the run folder of a verb, as its own row starts it."""

    def make(request: pytest.FixtureRequest, out: Path) -> Path:
        arguments = arguments_of(verb, TABLES[wing][verb], request.getfixturevalue("made"))
        run = Started(wing, arguments, out / "run").finish()
        assert run.status in (0, 4), run.said()
        return out / "run"

    return make


MAKERS: dict[str, Callable[[pytest.FixtureRequest, Path], Path]] = {
    "model": lambda request, out: request.getfixturevalue("tiny_model_folder"),
    "text": lambda request, out: request.getfixturevalue("text_folder"),
    "chain": make_chain,
    "network": make_network,
    "weights": make_weights,
    "digits": make_digits,
    "found": make_found,
    "explained": finished("llm_codes", "explain"),
    "measured": finished("llm_codes", "spectra"),
    "swept": finished("vision_codes", "dropout-sweep"),
}


def arguments_of(verb: str, flags: str, made: Callable[[str], str]) -> list[str]:
    paths = {name: made(name) for name in MAKERS if f"{{{name}}}" in flags}
    return [*verb.split(), *flags.format(**paths).split()]


@pytest.mark.parametrize("wing", TABLES)
def test_every_verb_is_killed_here(wing) -> None:
    declared = {f"{wing} {command.verb}" for command in commands.load_name(f"{wing}.__main__:COMMANDS")}
    killed = {f"{wing} {verb}" for verb in TABLES[wing]}
    assert killed == declared - set(NO_RUN)


@pytest.mark.timeout(1200)  # three runs of one verb, each within its own limit
@pytest.mark.parametrize(("wing", "verb", "flags"), VERBS)
def test_a_killed_run_goes_on_to_the_same_end(tmp_path, made, wing, verb, flags) -> None:
    arguments = arguments_of(verb, flags, made)
    whole = Started(wing, arguments, tmp_path / "whole").finish()
    assert whole.status in (0, 4), whole.said()
    draw = random.Random(f"{SEED} {wing} {verb}")
    for attempt in range(4):  # the machine may have been busier during the whole run
        share = draw.random() / (1 + attempt)
        if Started(wing, arguments, tmp_path / "killed").kill_after(share * whole.seconds):
            break
        (tmp_path / "killed").rename(tmp_path / f"finished-{attempt}")
    else:
        pytest.fail(f"the run ended before it could be killed, four times (seed {SEED})")
    again = Started(wing, arguments, tmp_path / "killed").finish()
    words = f"seed {SEED}, killed after {share:.0%} of {whole.seconds:.2f} s\n{again.said()}"
    assert again.status == whole.status, words
    assert "Traceback" not in again.said(), words
    expected, found = left_by(tmp_path / "whole"), left_by(tmp_path / "killed")
    for kind in expected:
        assert found[kind] == expected[kind], f"{kind}: {words}"
