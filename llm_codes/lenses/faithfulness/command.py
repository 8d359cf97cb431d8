"""`python -m llm_codes circuit curve`: open inputs, run the study by prompt, write the run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from eval.errors import UserError
from eval.pieces import Pieces
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from eval.shared_work import once
from llm_codes.configs.faithfulness import CircuitCurveConfig
from llm_codes.corpus import Corpus
from llm_codes.inputs import open_inputs
from llm_codes.lenses.faithfulness.chapter import add_curves, curve_rows
from llm_codes.lenses.faithfulness.claims import claims_of
from llm_codes.lenses.faithfulness.gates import FEATURES, NEURONS, SHUFFLED
from llm_codes.lenses.faithfulness.prompts import Prompt, find_prompts
from llm_codes.lenses.faithfulness.rows import Curve, CurveResults, PromptCurves
from llm_codes.lenses.faithfulness.study import all_curves, curves_of_prompt
from llm_codes.lenses.faithfulness.together import curves_together, stability_of
from llm_codes.lenses.faithfulness.untrained import untrained_curves
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders, open_untrained, transcoders_sha256
from llm_codes.models import Model
from llm_codes.sites import resolve_site

REFERENCES = 64  # windows over which the mean is taken, and from which activations are resampled
CODE = (curves_of_prompt.__module__,)


@dataclass(frozen=True)
class _Curves:
    """Curves over windows of one text; of the untrained network only those of its features."""

    config: CircuitCurveConfig
    corpus: Corpus
    pieces: Pieces
    untrained: bool = False

    def __call__(
        self, model: Model, transcoders: Sequence[LayerTranscoder], prompts: Sequence[Prompt]
    ) -> Sequence[Curve]:
        return self.together(model, transcoders, prompts, self.of_prompts(model, transcoders, prompts))

    def of_prompts(
        self, model: Model, transcoders: Sequence[LayerTranscoder], prompts: Sequence[Prompt]
    ) -> list[PromptCurves]:
        """Every prompt, each a piece.

        Raises:
            UserError: no full window of text.
        """
        config, corpus = self.config, self.corpus
        full = np.flatnonzero(corpus.lengths == corpus.context)[:REFERENCES]
        if not len(full):
            raise UserError("expected at least one full window of text; got none; raise --tokens or lower --context")
        windows = torch.tensor(np.asarray(corpus.tokens)[full], dtype=torch.long)
        documents = [int(corpus.document[number]) for number in full]
        read = {"batch_size": config.inputs.batch_size, "memory_gb": config.inputs.max_memory_gb, "seed": config.seed}
        pieces, beside = (self.pieces.below("untrained-"), False) if self.untrained else (self.pieces, True)
        return all_curves(
            model, transcoders, prompts, windows, documents, config.curve, **read, pieces=pieces, beside=beside
        )

    def together(
        self,
        model: Model,
        transcoders: Sequence[LayerTranscoder],
        prompts: Sequence[Prompt],
        found: Sequence[PromptCurves],
    ) -> list[Curve]:
        widths: dict[str, int] = dict.fromkeys((FEATURES, SHUFFLED), transcoders[0].n_features)
        widths[NEURONS] = resolve_site(model, "mlp_post", 0).width
        return curves_together(found, prompts, widths, self.config.seed)


def command(config: CircuitCurveConfig, run: Run) -> str:
    """Prompts of held-out text that the model can do, their curves, claims and page; resumes by prompt."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    model = inputs.model
    transcoders = open_transcoders(model, config.transcoders)
    corpus = inputs.view(config.windows)
    made_from = {
        "model": model.weights_sha256,
        "transcoders": transcoders_sha256(transcoders),
        "corpus": str(corpus.describe()["sha256_of_tokens"]),
        "options": json.dumps({**asdict(config.curve), "seed": config.seed}, sort_keys=True),
    }
    control = open_untrained(model, config.untrained, config.seed)
    hashes = {} if control is None else {"untrained": control.sha256}
    run.inputs(transcoders=made_from["transcoders"], corpus=made_from["corpus"], **hashes)
    asked = (config.curve.per_kind, config.curve.probability, config.inputs.batch_size)
    prompts, kinds = once(lambda: find_prompts(model, corpus, *asked))
    measure = _Curves(config, corpus, Pieces(run, CODE))
    found = measure.of_prompts(model, transcoders, prompts)
    curves = measure.together(model, transcoders, prompts, found)
    beside = untrained_curves(control, prompts, made_from, replace(measure, untrained=True))
    claims = claims_of(curves, beside.curves if beside else ())
    stability = stability_of(found, prompts, config.seed)
    results = CurveResults(tuple(kinds), tuple(curves), tuple(stability), tuple(claims), beside)
    page = Page(f"Faithfulness of {model.name}'s features", "How few nodes do what the model does?")
    words = f"{inputs.describe()} {len(prompts)} prompts of up to {corpus.context - 1} tokens."
    add_curves(page.section("Faithfulness", "faithfulness"), run, results, words)
    run.write_text("tables/curves.csv", results.to_csv())
    page.write(run)
    run.finish(results.to_json(), model=model.provenance(), corpus=corpus.describe())
    columns = ("nodes", "errors", "ablation", "ranking", "metric", "at 1.0%", "CPR", "CMD")
    return text_table(curve_rows(curves), columns)
