"""`python -m llm_codes sae train` and `sae eval`, and the same as functions."""

from __future__ import annotations

from typing import Any

from eval.errors import UserError
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.saes import SAEEvalConfig, SAETrainConfig
from llm_codes.inputs import open_model_and_corpus
from llm_codes.lenses.saes.chapter import write_evaluation, write_training
from llm_codes.lenses.saes.dashboards import FeatureConsumer, check_features, dashboard_entries
from llm_codes.lenses.saes.evaluation import evaluate_sae
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.lenses.saes.study import last_metrics, read_metrics, saved_quality, specs_of, train_saes
from llm_codes.lenses.saes.training import TrainingOptions


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
    last = last_metrics(lines, [spec.name for spec in specs])
    rows = [{**row, **saved_quality(folder)} for row, folder in zip(last, folders, strict=True)]
    write_training(run, lines, rows)
    names = [str(folder.relative_to(run.folder)) for folder in folders]
    results = {"saes": [{"folder": name, **spec.as_json()} for name, spec in zip(names, specs, strict=True)]}
    run.finish({**results, "last_metrics": rows}, model=model.provenance(), corpus=corpus.describe())
    columns = ("sae", "step", "loss", "saved_l0", "saved_fvu", "saved_silent_share", "skipped_batches")
    return text_table(rows, (*columns, "tokens_per_second"))


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
