"""`python -m llm_codes trajectories`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.errors import UserError
from eval.report.figures import SavedFigure
from eval.report.page import Page
from eval.runs import Run
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint
from llm_codes.inputs import Inputs, open_inputs
from llm_codes.lenses.trajectories.chapter import add_chapter
from llm_codes.lenses.trajectories.claims import claims
from llm_codes.lenses.trajectories.figures import draw_depth, draw_trajectory
from llm_codes.lenses.trajectories.rows import Trajectories, TrajectoriesResults
from llm_codes.lenses.trajectories.study import trajectories
from llm_codes.models import Model, untrained_like
from llm_codes.sites import resolve_sites

if TYPE_CHECKING:
    from llm_codes.configs.trajectories import DrawnOptions, TrajectoriesConfig, TrajectoriesOptions


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
    longest = int(np.argmax(corpus.lengths[:64]))
    return corpus.tokens[longest][: min(n_tokens + 1, int(corpus.lengths[longest]))].tolist()


def chapter(
    options: TrajectoriesOptions, drawn: DrawnOptions, inputs: Inputs, corpus: Corpus, run: Run, *, control: bool
) -> tuple[Trajectories, Trajectories | None, dict[str, SavedFigure]]:
    """Measure the model and its untrained control, and draw; shared by the command and by `report`."""
    model = inputs.model

    def measured(one: Model, name: str) -> Trajectories:
        walk = {"harvest_options": inputs.options, "seed": inputs.seed}
        return trajectories(one, corpus, options, **walk, checkpoint=Checkpoint(run.path(f"arrays/{name}-pass")))

    found, untrained = measured(model, "trajectories"), None
    if control and not model.untrained:
        untrained = measured(untrained_like(model, inputs.seed), "trajectories-untrained")
    tokens = drawn_window(model, corpus, drawn.text, drawn.drawn_tokens)
    sites = resolve_sites(model, options.sites, options.layers)
    figures = {"trajectory": draw_trajectory(run, model, sites, tokens, found, inputs.seed)}
    figures["action"] = draw_depth(run, found)
    run.write_text("tables/trajectories.csv", found.to_csv())
    run.write_arrays("smoothest-directions", **found.smoothest)
    return found, untrained, figures


def results_of(found: Trajectories, control: Trajectories | None) -> TrajectoriesResults:
    """The documented keys of `results.json`."""
    return TrajectoriesResults(found.sites, control.sites if control else None, tuple(claims(found, control)))


def command(config: TrajectoriesConfig, run: Run) -> str:
    """`python -m llm_codes trajectories`."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    corpus = inputs.view(config.windows)
    found, control, figures = chapter(config.trajectories, config.drawn, inputs, corpus, run, control=config.control)
    results = results_of(found, control)
    page = Page(f"Trajectories of {inputs.model.name}", corpus.describe_in_words())
    page.section("What was read", "inputs").text(inputs.describe())
    add_chapter(page, found, results.claims, figures, excluded=inputs.options.exclude_positions)
    page.write(run)
    run.finish(results.to_json(), model=inputs.model.provenance(), corpus=corpus.describe())
    return results.text()
