"""Which dictionaries to train, and the training pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_codes.configs.saes import SAETrainConfig
from llm_codes.corpus import Corpus
from llm_codes.lenses.saes.files import CONFIG
from llm_codes.lenses.saes.matching import provenance_of
from llm_codes.lenses.saes.memory import refuse_above, training_bytes
from llm_codes.lenses.saes.saving import save_sae
from llm_codes.lenses.saes.specification import SAESpec, parse_width
from llm_codes.lenses.saes.stream import ActivationStream
from llm_codes.lenses.saes.training import Training, TrainingOptions
from llm_codes.models import Model
from llm_codes.sites import resolve_site


def middle_layer(model: Model, layer: int) -> int:
    """The layer, -1 standing for the middle one."""
    return model.n_layers // 2 if layer < 0 else layer


def specs_of(config: SAETrainConfig, model: Model) -> list[SAESpec]:
    """One specification per site and width."""
    layer = middle_layer(model, config.layer)
    target = resolve_site(model, config.site_out, layer) if config.site_out else None
    out = []
    for name in config.site:
        site = resolve_site(model, name, layer)
        for width in config.width:
            out.append(
                SAESpec(
                    site.hook,
                    site.width,
                    parse_width(width, site.width),
                    architecture=config.architecture,
                    k=config.k,
                    tied=config.tied,
                    sparsity=config.sparsity,
                    target_l0=config.target_l0,
                    learning_rate=config.learning_rate,
                    hook_out=target.hook if target else "",
                    d_out=target.width if target else 0,
                    seed=config.seed,
                )
            )
    return out


def train_saes(
    model: Model,
    corpus: Corpus,
    specs: list[SAESpec],
    folder: str | Path,
    options: TrainingOptions | None = None,
    *,
    block_windows: int = 64,
    batch_size: int = 16,
    seed: int = 0,
    half: bool = False,
    exclude_positions: int = 1,
    max_memory_gb: float | None = None,
) -> list[Path]:
    """Train (or continue) dictionaries on one pass; returns their sae-lens folders (`folder` itself for one)."""
    folder = Path(folder)
    refuse_above(max_memory_gb, training_bytes(model, corpus, specs, block_windows, batch_size, options), "sae train")
    hooks = [hook for spec in specs for hook in (spec.hook, spec.hook_out) if hook]
    stream = ActivationStream(
        model,
        corpus,
        hooks,
        windows=block_windows,
        batch_size=batch_size,
        exclude_positions=exclude_positions,
        seed=seed,
    )
    trained = Training(stream, specs, folder, options or TrainingOptions(), model.device).run()
    places = [folder if len(trained) == 1 else folder / sae.spec.name for sae in trained]
    read = {key: value for key, value in corpus.describe().items() if key in ("source", "split", "sha256_of_tokens")}
    provenance = {**provenance_of(model), "training_tokens": trained[0].tokens, "training_corpus": read}
    text = training_text(stream)
    return [save_sae(sae, place, provenance, half=half, text=text) for sae, place in zip(trained, places, strict=True)]


def training_text(stream: ActivationStream, blocks: int = 2, rows: int = 8192) -> dict[str, Tensor]:
    """Activations of the text that was trained on, by hook name: the first rows (in shuffled order) of a few blocks."""
    parts: dict[str, list[Tensor]] = {hook: [] for hook in stream.hooks}
    for number in range(min(blocks, stream.blocks_per_epoch)):
        for hook, activations in stream.block(number).items():
            parts[hook].append(activations[:rows].cpu().clone())  # a view would keep the whole block
    return {hook: torch.cat(some) for hook, some in parts.items()}


def saved_quality(folder: Path) -> dict[str, Any]:
    """What the metadata of a folder says of the saved dictionary on training text: `saved_l0`, `saved_fvu`, ..."""
    words = json.loads((folder / CONFIG).read_text("utf-8"))["metadata"].get("saved", {})
    return {f"saved_{key}": round(value, 6) for key, value in words.items()}


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The log of a training run, line by line."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def last_metrics(lines: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """The last line of the log for each dictionary."""
    newest = {line["sae"]: line for line in lines}
    return [newest[name] for name in names if name in newest]
