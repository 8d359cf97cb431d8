"""`python -m llm_codes sae train` and `sae eval`: opens inputs, runs the study, writes the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.activation_source import ActivationSource
from llm_codes.activation_store.inputs import open_inputs_or_store
from llm_codes.configs.saes import DashboardOptions, SAEEvalConfig, SAETrainConfig
from llm_codes.corpus import Corpus
from llm_codes.inputs import Inputs, open_inputs
from llm_codes.lenses.saes.card import card_of, drawn_features, write_card
from llm_codes.lenses.saes.chapter import sanity_rows, write_evaluation, write_training
from llm_codes.lenses.saes.dashboards import FeatureConsumer, check_features, dashboard_entries
from llm_codes.lenses.saes.evaluation import evaluate_dictionaries, evaluate_dictionary
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import check_fits, content_hash
from llm_codes.lenses.saes.rows import BaselineRow, DictionaryEvaluation, FeatureEntry, TrainedDictionaries
from llm_codes.lenses.saes.saebench import core_output, frequencies
from llm_codes.lenses.saes.sanity import beside, model_of, open_beside, stability
from llm_codes.lenses.saes.study import places_of, read_metrics, train_saes, trained_rows
from llm_codes.lenses.saes.training.places import specifications
from llm_codes.models import untrained_like


def train_command(config: SAETrainConfig, run: Run) -> str:
    """`python -m llm_codes sae train`."""
    inputs = open_inputs_or_store(config.inputs, config.activations, seed=config.seed, device=config.device, run=run)
    run.require_inputs(**inputs.hashes())  # a half-trained dictionary cannot change its text or model under way
    model = untrained_like(inputs.model, config.seed) if config.untrained else inputs.source
    specs = specifications(config.dictionary, model, config.seed)
    corpus = inputs.view(config.training)
    folders = train_saes(
        model,
        corpus,
        specs,
        run.folder,
        config.training,
        harvest_options=config.inputs,
        seed=config.seed,
    )
    lines = read_metrics(run.folder)
    rows = trained_rows(lines, specs, folders, _held_out(config, inputs, model, folders))
    named = [str(folder.relative_to(run.folder)) for folder in folders]
    saes = tuple({"folder": name, **spec.as_json()} for name, spec in zip(named, specs, strict=True))
    results = TrainedDictionaries(saes, tuple(rows))
    write_training(run, lines, results.rows())
    run.finish(results.to_json(), model=model.provenance(), corpus=corpus.describe())
    return results.text()


def _held_out(
    config: SAETrainConfig, inputs: Inputs, model: ActivationSource, folders: Sequence[Path]
) -> list[DictionaryEvaluation]:
    """What was saved on held-out documents, all dictionaries on one walk; nothing where no tokens are asked for."""
    if not config.training.report_tokens:
        return []
    length = min(config.training.context, model.context)
    corpus = inputs.of_split("held-out").windows(length, n_tokens=config.training.report_tokens)
    places = [place for folder in folders for place in places_of(folder)]
    return evaluate_dictionaries(model, corpus, places, **_walk(inputs))


def eval_command(config: SAEEvalConfig, run: Run) -> str:
    """`python -m llm_codes sae eval`; a rerun reads finished measurements back."""
    sae = load_sae(config.sae, config.sae_id, config.device, hook=config.hook)
    check_features(sae, config.shown.features)
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    inputs = replace(inputs, model=model_of(inputs.model, sae))
    sae = check_fits(sae, inputs.model)
    baselines = open_beside(inputs.model, sae, config.baselines, "--baselines")
    partners = open_beside(inputs.model, sae, (config.partner,) if config.partner else (), "--partner")
    corpus = inputs.view(config.windows)
    text = str(corpus.describe()["sha256_of_tokens"])
    others = "+".join(content_hash(one.sae.state_dict()) for one in (*baselines, *partners))
    own = content_hash(sae.sae.state_dict())
    run.inputs(model=inputs.model.weights_sha256, dictionary=own, beside=others, corpus=text)
    kept = run.item("evaluation", lambda: _evaluated(inputs, corpus, sae, config.shown))
    found = DictionaryEvaluation.from_json(kept["evaluation"])
    rows = run.item("baselines", lambda: _measured_beside(inputs, corpus, found, baselines)) if baselines else []
    found = replace(
        found,
        baselines=tuple(BaselineRow.from_json(row) for row in rows),
        stability=stability(sae, partners[0], config.seed) if partners else None,
    )
    words = f"{inputs.describe()} {corpus.n_tokens:,} tokens in windows of {corpus.context}."
    write_evaluation(run, inputs.model.name, sae, found, words)
    model, read = inputs.model.provenance(), corpus.describe()
    drawn = tuple(FeatureEntry.from_json(entry) for entry in kept["at_random"])
    card = card_of(sae, found, drawn, model, read, config.seed)
    for folder in (run.folder, *([Path(config.sae)] if config.card else ())):
        write_card(card, folder)
    if not sae.is_transcoder:
        form = core_output(sae, found, kept["frequencies"], inputs.model, corpus, inputs.options)
        run.write_json("saebench_core.json", form)
    run.finish(found.to_json(), model=model, corpus=read)
    rows = [{"score": name, "value": s.value, "95%": s.interval, "n": s.n} for name, s in found.scores().items()]
    return "\n\n".join(
        text_table(part) for part in (rows, sanity_rows(found, sae.metadata.get("training_tokens"))) if part
    )


def _evaluated(inputs: Inputs, corpus: Corpus, sae: SAEFolder, shown: DashboardOptions) -> dict[str, Any]:
    """Scores, feature dashboards and the card's random features from one pass, as JSON."""
    consumer = FeatureConsumer(inputs.model, sae)
    found = evaluate_dictionary(inputs.model, corpus, sae, consumers=[consumer], **_walk(inputs))
    index = consumer.index(inputs.model, corpus)
    if shown.features or (shown.dashboards and found.dead_share.value != 1.0):
        entries = dashboard_entries(inputs.model, sae, index, shown.features, count=shown.dashboards)
        found = replace(found, features=tuple(entries))
    drawn = dashboard_entries(inputs.model, sae, index, drawn_features(sae, inputs.seed))
    shares = FeatureRows.concatenate(consumer.rows).density()
    return {
        "evaluation": found.to_json(),
        "at_random": [entry.to_json() for entry in drawn],
        "frequencies": frequencies(shares),
    }


def _measured_beside(
    inputs: Inputs, corpus: Corpus, found: DictionaryEvaluation, baselines: Sequence[SAEFolder]
) -> list[dict[str, Any]]:
    """Rows of the baselines from one walk for each model, as JSON."""
    return [row.to_json() for row in beside(inputs.model, corpus, found, baselines, **_walk(inputs))]


def _walk(inputs: Inputs) -> dict[str, Any]:
    """How every dictionary of a command is measured: the same batches, positions, seed and memory."""
    options = inputs.options
    return {
        "batch_size": options.batch_size,
        "seed": inputs.seed,
        "exclude_positions": options.exclude_positions,
        "max_memory_gb": options.max_memory_gb,
    }
