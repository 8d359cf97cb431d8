"""`python -m llm_codes sae train` and `sae eval`, and the same as functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.saes import SAEEvalConfig, SAETrainConfig
from llm_codes.corpus import Corpus, load_corpus
from llm_codes.lenses.saes.chapter import write_evaluation, write_training
from llm_codes.lenses.saes.dashboards import FeatureConsumer, check_features, dashboard_entries
from llm_codes.lenses.saes.evaluation import evaluate_sae
from llm_codes.lenses.saes.files import check_fits, load_sae, provenance_of, save_sae
from llm_codes.lenses.saes.memory import refuse_above, training_bytes
from llm_codes.lenses.saes.specification import SAESpec, parse_width
from llm_codes.lenses.saes.stream import ActivationStream
from llm_codes.lenses.saes.training import Training, TrainingOptions
from llm_codes.models import Model, load_model
from llm_codes.sites import resolve_site


def open_model_and_corpus(config: Any) -> tuple[Model, Corpus]:
    """The model and corpus of a command's configuration."""
    model = load_model(config.model, device=config.device, dtype=config.dtype)
    return model, open_corpus(config, model)


def open_corpus(config: Any, model: Model) -> Corpus:
    """The corpus of a command's configuration, in windows that fit the model."""
    return load_corpus(
        config.corpus,
        model.tokenizer,
        context=min(config.context, model.context),
        n_tokens=config.tokens,
        split=config.split,
        seed=config.seed,
        document_separator=config.document_separator,
        text_column=config.text_column,
    )


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
    return [save_sae(sae, place, provenance, half=half) for sae, place in zip(trained, places, strict=True)]


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The log of a training run, line by line."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def last_metrics(lines: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """The last line of the log for each dictionary."""
    newest = {line["sae"]: line for line in lines}
    return [newest[name] for name in names if name in newest]


def train_command(config: SAETrainConfig, run: Run) -> str:
    """`python -m llm_codes sae train`."""
    model, corpus = open_model_and_corpus(config)
    specs = specs_of(config, model)
    options = TrainingOptions(
        tokens=config.tokens,
        batch_size=config.train_batch_size,
        on_nan=config.on_nan,
        checkpoint_every=config.checkpoint_every,
        keep=config.keep,
        wandb=config.wandb,
    )
    folders = train_saes(
        model,
        corpus,
        specs,
        run.folder,
        options,
        block_windows=config.block_windows,
        batch_size=config.batch_size,
        seed=config.seed,
        half=config.half,
        exclude_positions=config.exclude_positions,
        max_memory_gb=config.max_memory_gb,
    )
    lines = read_metrics(run.folder)
    rows = last_metrics(lines, [spec.name for spec in specs])
    write_training(run, lines, rows)
    names = [str(folder.relative_to(run.folder)) for folder in folders]
    results = {"saes": [{"folder": name, **spec.as_json()} for name, spec in zip(names, specs, strict=True)]}
    run.finish({**results, "last_metrics": rows}, model=model.provenance(), corpus=corpus.describe())
    return text_table(rows, ("sae", "step", "loss", "l0", "fvu", "dead_share", "skipped_batches", "tokens_per_second"))


def eval_command(config: SAEEvalConfig, run: Run) -> str:
    """`python -m llm_codes sae eval`."""
    model, corpus = open_model_and_corpus(config)
    sae = check_fits(load_sae(config.sae, config.sae_id, config.device), model)
    check_features(sae, config.features)
    if not corpus.n_tokens:
        raise UserError("expected tokens to evaluate on; got none; raise --tokens")
    consumer = FeatureConsumer(model, sae)
    scores, histogram = evaluate_sae(
        model,
        sae,
        corpus,
        batch_size=config.batch_size,
        seed=config.seed,
        exclude_positions=config.exclude_positions,
        max_memory_gb=config.max_memory_gb,
        consumers=[consumer],
    )
    entries: list[dict[str, Any]] = []
    if config.features or (config.dashboards and scores["dead_share"].value != 1.0):
        index = consumer.index(model, corpus)
        entries = dashboard_entries(model, sae, index, config.features, count=config.dashboards)
    write_evaluation(run, model.name, sae, scores, histogram, entries)
    fields: dict[str, Any] = {}
    for name, score in scores.items():
        fields |= score.fields(name)
    results = {"sae": sae.name, "hook": sae.hook, "hook_out": sae.hook_out, **fields, "density": histogram}
    run.finish({**results, "features": entries}, model=model.provenance(), corpus=corpus.describe())
    rows = [{"score": name, "value": s.value, "95%": s.interval, "n": s.n} for name, s in scores.items()]
    return text_table(rows)
