"""Every architecture that sae-lens trains, ours against sae-lens' own trainer: FVU at equal L0, tokens and width.

One process, the same activations in the same order, the same learning rate, warm-up and decay; three seeds. Measured on
held-out activations, with the dictionaries as they are saved. Ours are asked for 32 features with the default
coefficient. Theirs: BatchTopK and Matryoshka get the threshold that leaves 32 on training text, as ours do; for those
with a penalty the coefficient that ends at 32 features is searched with whole runs of the first seed and kept for the
others. What is left of the difference in L0 (a few percent) is taken out along the slope of log FVU on log L0 of that
search. Kernels are compiled and packages imported before the first clock.

    SAE_LENS_FOUND=found.json python -m pytest tests/benchmarks/benchmark_sae_lens.py -m benchmark -n 0 -s
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from eval.measures.dictionaries.thresholds import threshold_for_mean_active
from eval.torchvision_operators import declare_missing_operators
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.study import train_on_activations, training_text
from llm_codes.lenses.saes.training.lens_step import training_sae
from llm_codes.lenses.saes.training.specification import MEAN_K, PENALISED, SAESpec
from llm_codes.lenses.saes.training.stream import ActivationStream, ArrayStream
from llm_codes.lenses.saes.training.trainers import make_trainer
from llm_codes.models import load_model
from llm_codes.sites import resolve_site

ARCHITECTURES = ("topk", "batchtopk", "matryoshka", "standard", "gated", "jumprelu")
TOKENS, WIDTH, BATCH, BLOCK, K, SEEDS = 200_000, 768, 256, 16_384, 32, (0, 1, 2)
LEARNING_RATE = 3e-3
GUESSES = {"standard": 2.0, "gated": 2.0, "jumprelu": 1.2}  # coefficients from which theirs are searched
NEAR, RUNS = 0.02, 6  # of log L0, and the most runs of a search
LARGEST_RATIO = 1.02  # of FVU


@pytest.fixture(scope="module")
def activations() -> dict[str, Tensor]:
    """What the MLP of the embedded model's layer 3 writes, on training and on held-out documents; scaled as in training
    (mean norm sqrt(width)), because sae-lens' step leaves that to its store."""
    model = load_model("embedded")
    hook = resolve_site(model, "mlp_out", 3).hook
    out = {}
    for split, count in (("train", TOKENS), ("held-out", 20_000)):
        corpus = load_corpus("sotu", model.tokenizer, context=256, n_tokens=count, split=split)
        stream = ActivationStream(model, corpus, [hook], windows=len(corpus))
        out[split] = stream.block(0)[hook]
    scale = out["train"].shape[1] ** 0.5 / out["train"].norm(dim=1).mean()
    return {split: rows * scale for split, rows in out.items()}


def specification(architecture: str, seed: int) -> SAESpec:
    return SAESpec("h", 192, WIDTH, architecture, k=K, target_l0=K, seed=seed, learning_rate=LEARNING_RATE)


def stream_of(rows: Tensor) -> ArrayStream:
    return ArrayStream({"h": rows}, rows=BLOCK, seed=0)


def batches(stream: ArrayStream, steps: int) -> Any:
    """The batches that our loop takes, in its order."""
    number = 0
    while steps:
        block = stream.block(number)["h"]
        for batch in block[: len(block) // BATCH * BATCH].split(BATCH):
            yield batch
            steps -= 1
            if not steps:
                return
        number += 1


def ours(rows: Tensor, spec: SAESpec, folder: Path, tokens: int = TOKENS) -> tuple[SAEFolder, float]:
    """A dictionary of our loop, and its processor seconds."""
    options = TrainingOptions(
        tokens=tokens, train_batch_size=BATCH, checkpoint_every=10**6, block_windows=BLOCK // 256, context=256
    )
    started = time.process_time()
    (made,) = train_on_activations({"h": rows}, [spec], folder, options, seed=0)
    return load_sae(made), time.process_time() - started


def theirs(
    rows: Tensor, spec: SAESpec, coefficient: float, folder: Path, tokens: int = TOKENS
) -> tuple[SAEFolder, float]:
    """A dictionary of sae-lens' own trainer on the same batches, and its processor seconds."""
    from sae_lens import SAETrainer
    from sae_lens.config import SAETrainerConfig

    steps = tokens // BATCH
    started = time.process_time()
    torch.manual_seed(spec.seed)
    sae = training_sae(replace(spec, sparsity=coefficient), "cpu")
    config = SAETrainerConfig(
        total_training_samples=steps * BATCH,
        train_batch_size_samples=BATCH,
        lr=spec.learning_rate,
        lr_end=spec.learning_rate / 10,
        lr_warm_up_steps=steps // 10,
        lr_decay_steps=steps // 3,
        dead_feature_window=max(1, round(spec.dead_window * steps)),
    )
    SAETrainer(config, sae, batches(stream_of(rows), steps)).fit()
    sae.save_inference_model(folder)
    return load_sae(folder), time.process_time() - started


def recalibrated(sae: SAEFolder, rows: Tensor) -> SAEFolder:
    """With the threshold that gives K on training text, as ours is saved; in place."""
    text, own = training_text(stream_of(rows))["h"], sae.sae
    offset = sae.offset if own.cfg.apply_b_dec_to_input else torch.zeros(192)
    with torch.no_grad():
        scores = ((part - offset) @ own.W_enc + own.b_enc for part in text.split(4096))
        own.threshold.fill_(threshold_for_mean_active(scores, K, len(text)))
    return sae


def quality(sae: SAEFolder, rows: Tensor) -> dict[str, float]:
    features = sae.encode(rows)
    error = (sae.decode(features) - rows).square().sum()
    on = features > 0
    spread = (rows - rows.mean(0)).square().sum()
    return {
        "fvu": float(error / spread),
        "l0": float(on.sum(1).float().mean()),
        "silent": float((~on.any(0)).float().mean()),
    }


def searched(architecture: str, held: Mapping[str, Tensor], place: Path) -> dict[str, float]:
    """The coefficient at which theirs ends with K features, and the slope of log FVU on log L0 there.

    Secant steps on log L0 against the logarithm of the coefficient, each a whole run of the first seed.
    """
    spec, seen = specification(architecture, SEEDS[0]), []
    at = np.log(GUESSES[architecture])
    for number in range(RUNS):
        made = quality(theirs(held["train"], spec, float(np.exp(at)), place / str(number))[0], held["held-out"])
        seen.append((at, np.log(made["l0"] / K), np.log(made["fvu"])))
        near = sorted(seen, key=lambda one: abs(one[1]))[:2]
        if len(seen) > 1 and abs(near[0][1]) < NEAR:
            break
        rise = (near[1][1] - near[0][1]) / (near[1][0] - near[0][0]) if len(near) > 1 else -1.0
        at = near[0][0] - near[0][1] / (rise if rise < -0.1 else -1.0)
    (first, second) = near
    slope = (second[2] - first[2]) / (second[1] - first[1])
    return {"coefficient": float(np.exp(first[0])), "slope": float(slope), "runs": len(seen)}


def compared(
    architecture: str, seed: int, held: Mapping[str, Tensor], place: Path, found: Mapping[str, float]
) -> dict[str, Any]:
    """Both sides of one architecture and seed; `fvu_ratio` at our L0."""
    spec = specification(architecture, seed)
    mine, seconds = ours(held["train"], spec, place / "ours")
    other, their_seconds = theirs(held["train"], spec, found.get("coefficient", 1.0), place / "theirs")
    as_saved = quality(other, held["held-out"])
    if architecture in MEAN_K:
        other = recalibrated(other, held["train"])
    rows = {"ours": quality(mine, held["held-out"]), "theirs": quality(other, held["held-out"])}
    plain = rows["ours"]["fvu"] / rows["theirs"]["fvu"]
    equal = plain / (rows["ours"]["l0"] / rows["theirs"]["l0"]) ** found.get("slope", 0.0)
    ratios = {"fvu_ratio": equal, "fvu_ratio_plain": plain, "speed_ratio": their_seconds / seconds}
    seconds_of = {"ours_seconds": seconds, "theirs_seconds": their_seconds}
    return {"architecture": architecture, "seed": seed, **rows, "as_saved": as_saved, **ratios, **seconds_of, **found}


@pytest.mark.benchmark
@pytest.mark.timeout(36_000)
def test_fvu_of_every_architecture_beside_sae_lens(activations: dict[str, Tensor], tmp_path: Path) -> None:
    declare_missing_operators()
    found = []
    for architecture in ARCHITECTURES:
        spec, few = specification(architecture, 0), activations["train"][:BLOCK]
        ours(few, spec, tmp_path / architecture / "ours", tokens=8 * BATCH)
        theirs(few, spec, 1.0, tmp_path / architecture / "theirs", tokens=8 * BATCH)
        search = searched(architecture, activations, tmp_path / architecture) if architecture in PENALISED else {}
        for seed in SEEDS:
            found.append(compared(architecture, seed, activations, tmp_path / f"{architecture}-{seed}", search))
            if place := os.environ.get("SAE_LENS_FOUND"):
                Path(place).write_text(json.dumps(found, indent=1))
    for architecture in ARCHITECTURES:
        rows = [row for row in found if row["architecture"] == architecture]
        fvu, speed = (float(np.mean([row[name] for row in rows])) for name in ("fvu_ratio", "speed_ratio"))
        print(f"{architecture:12} FVU ratio {fvu:.3f}, CPU time of theirs over ours {speed:.2f}")
        assert fvu <= LARGEST_RATIO


def step_ratio(architecture: str, width: int, rows: Tensor) -> float:
    """Processor time of a step of theirs over one of ours at a width, medians of the 6th to 40th batch of 512 rows."""
    from sae_lens import SAETrainer
    from sae_lens.config import SAETrainerConfig

    spec = replace(specification(architecture, 0), n_features=width)
    mine = make_trainer(spec, TrainingOptions(tokens=50_000, train_batch_size=512), "cpu")
    config = SAETrainerConfig(
        total_training_samples=50_000, train_batch_size_samples=512, lr=LEARNING_RATE, lr_end=LEARNING_RATE
    )
    other, seconds = SAETrainer(config, training_sae(spec, "cpu"), iter([])), []
    for batch in rows[: 40 * 512].split(512):
        times = [time.process_time()]
        mine.step(batch)
        times.append(time.process_time())
        other.step(batch)
        times.append(time.process_time())
        seconds.append(np.diff(times))
    own, their = np.median(seconds[5:], axis=0)
    return float(their / own)


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_a_step_of_every_architecture_is_no_dearer(activations: dict[str, Tensor]) -> None:
    declare_missing_operators()
    for width in (512, 1536):
        ratios = {name: step_ratio(name, width, activations["train"]) for name in ARCHITECTURES}
        print(width, {name: round(ratio, 2) for name, ratio in ratios.items()})
        assert min(ratios.values()) >= 1
