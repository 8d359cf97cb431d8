"""The training pass: dictionaries on one forward pass, or on arrays of activations, to folders of sae-lens."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError, nearest
from eval.scores import Score
from llm_codes.activation_source import ActivationSource, open_source
from llm_codes.activation_store.store import ActivationStore
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.saes import DictionaryOptions, TrainingOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.saes.files import CONFIG, load_sae
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.foreign.cross_layer import SAID, is_cross_layer, read_cross_layer
from llm_codes.lenses.saes.matching import provenance_of
from llm_codes.lenses.saes.rows import DictionaryEvaluation, TrainedDictionary
from llm_codes.lenses.saes.training.cross_layer_saving import save_cross_layer
from llm_codes.lenses.saes.training.loop import Training
from llm_codes.lenses.saes.training.memory import refuse_above, training_bytes
from llm_codes.lenses.saes.training.places import specifications
from llm_codes.lenses.saes.training.saving import save_sae
from llm_codes.lenses.saes.training.specification import Spec
from llm_codes.lenses.saes.training.stream import ActivationStream, ArrayStream
from llm_codes.lenses.saes.training.trainers import TrainedCrossLayer

NOT_MEASURED = Score.undefined("not measured: no --report-tokens")


def train_sae(
    model: Any,
    corpus: Corpus,
    options: DictionaryOptions | None = None,
    *,
    training: TrainingOptions | None = None,
    harvest_options: HarvestOptions | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
    **changes: Any,
) -> SAEFolder:
    """Train one dictionary of a model's activations.

        train_sae("embedded", corpus, sites="mlp_out", layers=3, width="8x", tokens=200_000)

    Args:
        model: a `Model`, what `load_model` opens, or an `ActivationStore`. corpus: windows of `load_corpus`.
        options, training, harvest_options: what is trained, how, and how the text is walked; defaults: the command's.
        folder: where checkpoints and the dictionary go, and where a killed run continues (default: a temporary one).
        changes: single options by name, of any of the three (`k=16`, `train_batch_size=256`, `exclude_positions=0`).

    Raises:
        UserError: an unknown option, with the nearest; options that make several dictionaries (see `train_saes`).
    """
    kinds = (options or DictionaryOptions(), training or TrainingOptions(), harvest_options or HarvestOptions())
    asked, how, walk = with_changes(kinds, changes)
    source = open_source(model)
    specs = specifications(asked, source, seed)
    if asked.cross_layer:
        raise UserError(
            "expected options for a dictionary of one place; got cross_layer=True; call train_saes, read_cross_layer"
        )
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise UserError(
            f"expected options for one dictionary; got {len(specs)} ({names}); call train_saes, or name one"
        )
    place = Path(tempfile.mkdtemp(prefix="sae-")) if folder is None else Path(folder)
    (made,) = train_saes(source, corpus, specs, place, how, harvest_options=walk, seed=seed)
    return load_sae(made)


def with_changes(kinds: Sequence[Any], changes: dict[str, Any]) -> list[Any]:
    """Several options objects, each with the changes that name one of its own fields.

    Raises:
        UserError: a name that none of them has, with the nearest.
    """
    own = [{field.name for field in fields(kind)} for kind in kinds]
    for name in changes:
        if not any(name in names for names in own):
            raise UserError(f"unknown option {name!r}: {nearest(name, set().union(*own))}")
    return [
        replace(kind, **{name: value for name, value in changes.items() if name in names})
        for kind, names in zip(kinds, own, strict=True)
    ]


def train_saes(
    source: ActivationSource,
    corpus: Corpus,
    specs: Sequence[Spec],
    folder: str | Path,
    options: TrainingOptions | None = None,
    *,
    harvest_options: HarvestOptions | None = None,
    seed: int = 0,
) -> list[Path]:
    """Train (or continue) dictionaries on one pass; returns their sae-lens folders (`folder` itself for one).

    source: a model, or a store of its activations (its own corpus): the same dictionaries from either.
    The folder of a cross-layer transcoder has circuit-tracer's files (`foreign.cross_layer`).

    Raises:
        UserError: before any work: too little memory or text, more features than tokens; see `Training`.
    """
    folder, options, walk = Path(folder), options or TrainingOptions(), harvest_options or HarvestOptions()
    _check_tokens(corpus.n_tokens, specs, options)
    needed = training_bytes(source, corpus, specs, options, walk.batch_size)
    refuse_above(walk.max_memory_gb, needed, "sae train")
    stream = ActivationStream(
        source,
        corpus,
        [hook for spec in specs for hook, _ in spec.places],
        windows=options.block_windows,
        batch_size=walk.batch_size,
        exclude_positions=walk.exclude_positions,
        seed=seed,
    )
    read = {key: value for key, value in corpus.describe().items() if key in ("source", "split", "sha256_of_tokens")}
    return _train(stream, specs, folder, options, source.device, words_of(source) | {"training_corpus": read})


def words_of(source: Any) -> dict[str, Any]:
    """What the folders say of the model: its name and hashes, or what a store says of whose activations it holds."""
    if isinstance(source, ActivationStore):
        return {"model_name": source.name, **source.manifest.dictionary, "activations_sha256": source.sha256}
    return provenance_of(source)


def train_on_activations(
    activations: Mapping[str, Any],
    specs: Sequence[Spec],
    folder: str | Path,
    options: TrainingOptions | None = None,
    *,
    provenance: Mapping[str, Any] | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> list[Path]:
    """Train (or continue) dictionaries of activations that are there already; returns their sae-lens folders.

        train_on_activations({"blocks.3.mlp.hook_out": array}, [SAESpec("blocks.3.mlp.hook_out", 768, 6144)], "run")

    Args:
        activations: arrays, tensors or memory maps `[token width]` by hook name; a transcoder needs two of them.
        provenance: what the folders shall say of the model (`model_name`, ...), which arrays do not.

    Raises:
        UserError: before any work: arrays that do not fit each other, more features than tokens; see `Training`.
    """
    folder, options = Path(folder), options or TrainingOptions()
    stream = ArrayStream(activations, rows=options.block_windows * options.context, seed=seed)
    _check_tokens(stream.n_tokens, specs, options)
    return _train(stream, specs, folder, options, device, dict(provenance or {}))


def _train(
    stream: ActivationStream | ArrayStream,
    specs: Sequence[Spec],
    folder: Path,
    options: TrainingOptions,
    device: str,
    words: Mapping[str, Any],
) -> list[Path]:
    """The loop on a stream, and its dictionaries written: all in `folder` itself where it is one."""
    stream.check_batch(options.train_batch_size)
    trained = Training(stream, specs, folder, options, device).run()
    places = [folder if len(trained) == 1 else folder / sae.spec.name for sae in trained]
    said, text = {**words, "training_tokens": trained[0].tokens}, training_text(stream)
    return [_saved(sae, place, said, options.half, text) for sae, place in zip(trained, places, strict=True)]


def _saved(trained: Any, place: Path, said: Mapping[str, Any], half: bool, text: Mapping[str, Tensor]) -> Path:
    save = save_cross_layer if isinstance(trained, TrainedCrossLayer) else save_sae
    return save(trained, place, said, half=half, text=text)


def _check_tokens(n_tokens: int, specs: Sequence[Spec], options: TrainingOptions) -> None:
    """A dictionary with more features than tokens it ever sees learns them by heart."""
    most = max(spec.n_features for spec in specs)
    for count, what, advice in (
        (options.tokens, "tokens to train on", "raise --tokens"),
        (n_tokens, "tokens in the corpus", "read a longer --corpus"),
    ):
        if count < most:
            raise UserError(
                f"expected at least as many {what} as features ({most}); got {count}; {advice} or lower --width"
            )


def training_text(stream: ActivationStream | ArrayStream, blocks: int = 2, rows: int = 8192) -> dict[str, Tensor]:
    """Activations of the text that was trained on, by hook name: the first rows (in shuffled order) of a few blocks."""
    parts: dict[str, list[Tensor]] = {hook: [] for hook in stream.hooks}
    for number in range(min(blocks, stream.blocks_per_epoch)):
        for hook, activations in stream.block(number).items():
            parts[hook].append(activations[:rows].cpu().clone())  # a view would keep the whole block
    return {hook: torch.cat(some) for hook, some in parts.items()}


def read_metrics(folder: Path) -> list[dict[str, object]]:
    """The log of a training run, line by line."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def trained_rows(
    lines: Sequence[dict[str, Any]],
    specs: Sequence[Spec],
    places: Sequence[Path],
    held_out: Sequence[DictionaryEvaluation] = (),
) -> list[TrainedDictionary]:
    """How each dictionary (each layer of a cross-layer transcoder) ended: the last line of its log, what was saved, and
    what that does on held-out documents.

    held_out: one evaluation a row, or none.
    """
    newest = {line["sae"]: line for line in lines}
    rows = [
        (name, spec.asked_l0, saved)
        for spec, place in zip(specs, places, strict=True)
        for name, saved in zip(spec.rows, _quality_saved(place), strict=True)
    ]
    out = []
    for number, (name, asked, saved) in enumerate(rows):
        fields: dict[str, Any] = {f"saved_{key}": round(value, 6) for key, value in saved.items()}
        fields |= dict.fromkeys(("held_out_fvu", "ce_delta", "kl"), NOT_MEASURED)
        if held_out:
            found = held_out[number]
            fields |= {"held_out_fvu": found.fvu, "ce_delta": found.ce_delta, "kl": found.kl}
        out.append(TrainedDictionary(**newest[name], asked_l0=asked, **fields))
    return out


def _quality_saved(place: Path) -> list[dict[str, float]]:
    """What the folder says of what was saved, by row."""
    if is_cross_layer(place):
        return json.loads((place / SAID).read_text("utf-8"))["saved"]
    return [json.loads((place / CONFIG).read_text("utf-8"))["metadata"]["saved"]]


def places_of(folder: Path) -> list[Any]:
    """What of a trained folder is measured: the dictionary, or the layers of a cross-layer transcoder."""
    return list(read_cross_layer(folder).places()) if is_cross_layer(folder) else [folder]
