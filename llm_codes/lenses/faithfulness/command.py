"""`python -m llm_codes circuit curve`: open inputs, run the study by prompt, write the run folder."""

from __future__ import annotations

import numpy as np
import torch

from eval.errors import UserError
from eval.pieces import Pieces
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.faithfulness import CircuitCurveConfig
from llm_codes.inputs import open_inputs
from llm_codes.lenses.faithfulness.chapter import add_curves, curve_rows
from llm_codes.lenses.faithfulness.claims import claims_of
from llm_codes.lenses.faithfulness.gates import FEATURES, NEURONS, SHUFFLED
from llm_codes.lenses.faithfulness.prompts import find_prompts
from llm_codes.lenses.faithfulness.rows import CurveResults
from llm_codes.lenses.faithfulness.study import all_curves, curves_of_prompt
from llm_codes.lenses.faithfulness.together import curves_together, stability_of
from llm_codes.lenses.graphs.transcoders import open_transcoders, transcoders_sha256
from llm_codes.sites import resolve_site

REFERENCES = 64  # windows over which the mean is taken, and from which activations are resampled
CODE = (curves_of_prompt.__module__,)


def command(config: CircuitCurveConfig, run: Run) -> str:
    """Prompts of held-out text that the model can do, their curves, claims and page; resumes by prompt."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    model = inputs.model
    transcoders = open_transcoders(model, config.transcoders)
    corpus = inputs.view(config.windows)
    run.inputs(transcoders=transcoders_sha256(transcoders), corpus=str(corpus.describe()["sha256_of_tokens"]))
    prompts, kinds = find_prompts(
        model, corpus, config.curve.per_kind, config.curve.probability, config.inputs.batch_size
    )
    full = np.flatnonzero(corpus.lengths == corpus.context)[:REFERENCES]
    if not len(full):
        raise UserError("expected at least one full window of text; got none; raise --tokens or lower --context")
    windows = torch.tensor(np.asarray(corpus.tokens)[full], dtype=torch.long)
    documents = [int(corpus.document[number]) for number in full]
    how = {"batch_size": config.inputs.batch_size, "memory_gb": config.inputs.max_memory_gb, "seed": config.seed}
    pieces = Pieces(run, CODE)
    found = all_curves(model, transcoders, prompts, windows, documents, config.curve, **how, pieces=pieces)
    widths: dict[str, int] = dict.fromkeys((FEATURES, SHUFFLED), transcoders[0].n_features)
    widths[NEURONS] = resolve_site(model, "mlp_post", 0).width
    curves = curves_together(found, prompts, widths, config.seed)
    stability = stability_of(found, prompts, config.seed)
    results = CurveResults(tuple(kinds), tuple(curves), tuple(stability), tuple(claims_of(curves)))
    page = Page(f"Faithfulness of {model.name}'s features", "How few nodes do what the model does?")
    words = f"{inputs.describe()} {len(prompts)} prompts of up to {corpus.context - 1} tokens."
    add_curves(page.section("Faithfulness", "faithfulness"), run, results, words)
    run.write_text("tables/curves.csv", results.to_csv())
    page.write(run)
    run.finish(results.to_json(), model=model.provenance(), corpus=corpus.describe())
    columns = ("nodes", "errors", "ablation", "ranking", "metric", "at 1.0%", "CPR", "CMD")
    return text_table(curve_rows(curves), columns)
