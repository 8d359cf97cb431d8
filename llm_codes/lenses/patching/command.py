"""`python -m llm_codes circuit patch`: open inputs, read or make pairs, run the study by pair, write the run folder."""

from __future__ import annotations

from dataclasses import asdict

from eval.pieces import Pieces
from eval.report.page import Page
from eval.report.tables import text_table
from eval.run_identity import short_hash
from eval.runs import Run
from eval.shared_work import once
from llm_codes.configs.patching import CircuitPatchConfig
from llm_codes.harvest import check_memory
from llm_codes.inputs import Inputs, open_inputs
from llm_codes.lenses.faithfulness.prompts import find_prompts
from llm_codes.lenses.graphs.transcoders import transcoders_sha256
from llm_codes.lenses.patching.activations import HEADS, SITES
from llm_codes.lenses.patching.chapter import COLUMNS, add_patching, patched_rows, strongest
from llm_codes.lenses.patching.pairs import Pair, make_pairs, read_pairs
from llm_codes.lenses.patching.paths import PATHS
from llm_codes.lenses.patching.study import activation_patching, memory_bytes, open_or_reason

CODE = (activation_patching.__module__,)


def pairs_of(config: CircuitPatchConfig, inputs: Inputs) -> tuple[list[Pair], str]:
    """The pairs of the file that was named, or made from the text; and where they come from, in words."""
    if config.pairs:
        return read_pairs(config.pairs, inputs.model), f"Pairs from {config.pairs}."
    corpus, asked = inputs.view(config.windows), config.patching
    prompts, _ = find_prompts(inputs.model, corpus, asked.per_kind, asked.probability, config.inputs.batch_size)
    words = (
        f"Pairs made of {len(prompts)} prompts of up to {corpus.context - 1} tokens whose next token the model gets "
        "right: one word before the last is changed, the one of several tried that lowers the logit difference most."
    )
    return make_pairs(inputs.model, prompts, config.inputs.batch_size, config.seed), words


def command(config: CircuitPatchConfig, run: Run) -> str:
    """Pairs patched at every site, head, path and some features, beside their controls; resumes by pair."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    model = inputs.model
    pairs, words = once(lambda: pairs_of(config, inputs))
    check_memory(memory_bytes(model, pairs, config.inputs.batch_size), config.inputs.max_memory_gb, "circuit patch")
    transcoders, _ = open_or_reason(model, config.transcoders, config.patching)
    run.inputs(pairs=short_hash([asdict(pair) for pair in pairs]), transcoders=transcoders_sha256(transcoders))
    results = activation_patching(
        model,
        pairs,
        [item.folder for item in transcoders],
        config.patching,
        control=config.control,
        batch_size=config.inputs.batch_size,
        seed=config.seed,
        pieces=Pieces(run, CODE),
    )
    page = Page(f"Patching of {model.name}", "Where does the answer sit, and how does it travel?")
    add_patching(page.section("Patching", "patching"), run, results, f"{inputs.describe()} {words}")
    run.write_text("tables/patched.csv", results.to_csv())
    page.write(run)
    run.finish(results.to_json(), model=model.provenance())
    shown = [row for parts in (SITES, [HEADS], [PATHS]) for row in strongest(results.patched, parts, 6)]
    return text_table(patched_rows(shown), COLUMNS)
