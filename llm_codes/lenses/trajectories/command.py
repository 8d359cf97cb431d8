"""`python -m llm_codes trajectories`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.errors import UserError
from eval.report.figures import SavedFigure
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint
from llm_codes.inputs import open_model_and_corpus
from llm_codes.lenses.trajectories.chapter import add_chapter
from llm_codes.lenses.trajectories.figures import draw_depth, draw_paths
from llm_codes.lenses.trajectories.study import COLUMNS, Trajectories, trajectories
from llm_codes.models import Model
from llm_codes.sites import resolve_sites

if TYPE_CHECKING:
    from llm_codes.configs.trajectories import TrajectoriesConfig


def drawn_window(model: Model, corpus: Corpus, text: str, n_tokens: int) -> list[int]:
    """Tokens of the trajectory to draw: the user's text, else the first full window of the corpus."""
    bos = [model.bos_token_id] if model.bos_token_id is not None else []
    if text:
        tokens = bos + model.encode(text)
        if len(tokens) > model.context:
            raise UserError(f"--text has {len(tokens)} tokens, the context of {model.name} holds {model.context}")
        if len(tokens) < 4:
            raise UserError(f"--text has {len(tokens) - len(bos)} tokens; a trajectory needs at least 3")
        return tokens[: n_tokens + 1]
    longest = int(np.argmax(corpus.mask[:64].sum(1)))
    return corpus.tokens[longest][corpus.mask[longest]][: n_tokens + 1].tolist()


def chapter(
    config: TrajectoriesConfig, run: Run, model: Model, corpus: Corpus
) -> tuple[Trajectories, dict[str, SavedFigure]]:
    """Measure and draw; shared by the command and by `report`."""
    sites = resolve_sites(model, config.sites, config.layers)
    found = trajectories(
        model,
        corpus,
        config.sites,
        layers=config.layers,
        n_projections=config.projections,
        seed=config.seed,
        batch_size=config.batch_size,
        exclude_positions=config.exclude_positions,
        max_memory_gb=config.max_memory_gb,
        checkpoint=Checkpoint(run.path("arrays/trajectories-pass")),
    )
    tokens = drawn_window(model, corpus, config.text, config.drawn_tokens)
    figures = {"trajectory": draw_paths(run, model, sites, tokens, found, config.seed)}
    figures["action"] = draw_depth(run, found.rows)
    run.write_text("tables/trajectories.csv", csv_text(found.rows))
    run.write_arrays("smoothest-directions", **found.smoothest)
    return found, figures


def command(config: TrajectoriesConfig, run: Run) -> str:
    """`python -m llm_codes trajectories`."""
    model, corpus = open_model_and_corpus(config)
    found, figures = chapter(config, run, model, corpus)
    page = Page(f"Trajectories of {model.name}", f"{corpus.n_tokens:,} tokens of {config.corpus}")
    add_chapter(page, found.rows, figures)
    page.write(run)
    run.finish({"sites": found.rows}, model=model.provenance(), corpus=corpus.describe())
    return text_table(found.rows, COLUMNS)
