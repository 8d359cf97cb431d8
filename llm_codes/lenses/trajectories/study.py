"""How smooth is the code along a text? Action of random projections by depth, and the smoothest directions.

Time is the token. One pass adds up two matrices per site (`trajectory_moments`); the closed form, a thousand sampled
projections and the exact minimum all follow from them [MK eq. 4, corrected in
`eval.measures.projections.streamed_action`].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eval.errors import UserError
from eval.measures.projections import projection, streamed_action
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.report.figures import COLOURS, SavedFigure, figure, interval_line, save_figure
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from eval.scores import Score
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint, harvest, open_inputs
from llm_codes.lenses.trajectories.moments import SiteMoments, TrajectoryMoments
from llm_codes.models import Model, load_model
from llm_codes.sites import Site, resolve_sites

if TYPE_CHECKING:
    from llm_codes.configs.trajectories import TrajectoriesConfig

COLUMNS = [
    "site",
    "action",
    "action_sampled",
    "action_over_trace",
    "minimum_action",
    "best_sampled",
    "first_step_share",
]


@dataclass(frozen=True)
class Trajectories:
    """Rows of `results.json` (one per site) and the smoothest directions by hook name [width, dimension]."""

    rows: list[dict[str, Any]]
    smoothest: dict[str, np.ndarray]


def trajectories(
    model: Any,
    corpus: Corpus,
    sites: Sequence[str] = ("resid_post",),
    *,
    layers: str | Sequence[int] | None = None,
    n_projections: int = 1000,
    seed: int = 0,
    **harvest_options: Any,
) -> Trajectories:
    """Action of the code along the windows of a corpus, in closed form and over sampled projections, site by site.

    Args:
        model: a `Model`, a name, or an existing bridge. corpus: windows are the trajectories.
        n_projections: random projections to three dimensions per site.
        harvest_options: `batch_size`, `exclude_positions`, `max_memory_gb`, `checkpoint`.
    """
    model = load_model(model)
    places = resolve_sites(model, sites, layers)
    consumer = TrajectoryMoments(places)
    harvest(model, corpus, [consumer], label="trajectories", **harvest_options)
    rows, smoothest = [], {}
    for place in places:
        row, directions = describe_site(place, consumer.moments[place.hook], n_projections, seed)
        rows.append(row)
        if directions is not None:
            smoothest[place.hook] = directions
    return Trajectories(rows, smoothest)


def describe_site(
    site: Site, moments: SiteMoments, n_projections: int, seed: int
) -> tuple[dict[str, Any], np.ndarray | None]:
    """One row: mean action of a window, closed form and sampled; per variance; exact minimum; share of step 0 -> 1."""
    n_windows = max(1, len(moments.windows))
    differences, covariance = moments.differences.numpy(), moments.covariance_sum()
    draws = projection.random_projections(site.width, n_projections, seed=seed)
    sampled = streamed_action.sampled_actions(differences, draws) / n_windows
    error = float(sampled.std(ddof=1) / np.sqrt(n_projections))
    row: dict[str, Any] = {"site": site.name, "hook": site.hook, "kind": site.kind, "layer": site.layer}
    row |= {"width": site.width, "n_steps": moments.steps, "n_windows": n_windows}
    row["action"] = streamed_action.expected_action(differences) / n_windows
    row |= {"action_sampled": float(sampled.mean()), "action_sampled_standard_error": error}
    row |= {"n_projections": n_projections}
    row |= action_over_trace(moments, covariance).fields("action_over_trace")
    shares = np.array([(first, every) for _, _, _, first, every, _ in moments.windows])
    row["first_step_share"] = float(shares[:, 0].sum() / shares[:, 1].sum()) if shares[:, 1].sum() > 0 else None
    ratios = streamed_action.normalised_actions(differences, covariance, draws)
    row["best_sampled"] = float(ratios.min())
    try:
        directions, exact = streamed_action.minimum_action_directions(differences, covariance)
    except UserError as error_:
        return row | {"minimum_action": None, "minimum_action_reason": str(error_)}, None
    return row | {"minimum_action": float(exact[0]), "minimum_actions": exact.tolist()}, directions


def action_over_trace(moments: SiteMoments, covariance: np.ndarray) -> Score:
    """Action per variance, sum ||dA||^2 / (2 steps tr Cov), with an interval over documents. White noise gives 1."""
    frames = max(1, moments.frames)
    mean_square = float((moments.first / frames).square().sum())
    if np.trace(covariance) <= 0 or not moments.steps:
        return Score.undefined("the activations do not vary")
    table: dict[int, np.ndarray] = {}
    for document, steps, square, _, _, count in moments.windows:
        frames_here = count + 1
        entry = np.array([steps / 2, (square - frames_here * mean_square) * count / frames_here])
        table[document] = table.get(document, np.zeros(2)) + entry
    sums = np.array(list(table.values()))
    return bootstrap_ratio(sums[:, 0], sums[:, 1])


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


def draw_paths(
    run: Run, model: Model, sites: Sequence[Site], tokens: Sequence[int], found: Trajectories, seed: int
) -> SavedFigure:
    """The text as a curve in two dimensions of a random and of the smoothest projection, by depth; saves the NPZ."""
    activations = model.activations(torch.tensor([list(tokens)]), sites)
    words = model.token_strings(tokens)[1:]
    shown = [sites[i] for i in sorted({0, len(sites) // 2, len(sites) - 1})]
    fig, axes = figure(2, len(shown), width=3.6 * len(shown), height=6.4, squeeze=False)
    arrays: dict[str, Any] = {"tokens": np.array(tokens), "strings": np.array(["", *words])}
    for site in sites:
        frames = activations[site.hook][0, 1:].double().cpu().numpy()
        random = frames @ projection.random_projections(site.width, 1, seed=seed)[0]
        smooth = frames @ found.smoothest[site.hook] if site.hook in found.smoothest else np.zeros((len(frames), 3))
        arrays |= {f"{site.name}/random": random, f"{site.name}/smoothest": smooth}
        if site in shown:
            column = shown.index(site)
            _path(axes[0, column], random, words, f"{site.name}: random projection")
            _path(axes[1, column], smooth, words, f"{site.name}: smoothest directions")
    run.write_arrays("trajectory", **arrays)
    caption = (
        "One text as a curve, token by token, in the first two dimensions of a random projection (above) and of the "
        "exact minimum-action directions (below). Colour runs from the first token (dark) to the last; position 0 is "
        "left out."
    )
    return save_figure(run, fig, "trajectory", caption)


def _path(axis: Any, path: np.ndarray, words: Sequence[str], title: str) -> None:
    axis.plot(path[:, 0], path[:, 1], color="#b8bec8", linewidth=0.8, zorder=1)
    axis.scatter(path[:, 0], path[:, 1], c=np.arange(len(path)), cmap="viridis", s=10, zorder=2)
    for number in range(0, len(path), max(1, len(path) // 12)):
        label = words[number].strip()[:10].replace("$", r"\$") or "_"
        axis.annotate(label, path[number, :2], fontsize=6.5, xytext=(2, 2), textcoords="offset points")
    axis.set_title(title)
    axis.set(xticks=[], yticks=[])


def draw_depth(run: Run, rows: Sequence[Mapping[str, Any]]) -> SavedFigure:
    """Action per variance by depth with its interval, and the exact minimum beside the best of the sample."""
    fig, (left, right) = figure(1, 2, width=8.4)
    for kind, colour in zip(dict.fromkeys(row["kind"] for row in rows), COLOURS, strict=False):
        mine = [row for row in rows if row["kind"] == kind]
        layers = [row["layer"] for row in mine]
        scores = [_score(row, "action_over_trace") for row in mine]
        interval_line(left, layers, scores, label=kind, colour=colour)
        defined = [row for row in mine if row["minimum_action"] is not None]
        right.plot([r["layer"] for r in defined], [r["minimum_action"] for r in defined], "o-", ms=3.5, color=colour)
        right.plot(layers, [r["best_sampled"] for r in mine], "s--", ms=3.5, color=colour, alpha=0.6)
    left.axhline(1, color="#555555", linewidth=0.8, linestyle="--")
    left.set(title="Action per variance", xlabel="layer", ylabel="action / trace")
    right.set(title="Smoothest (dashed: best sampled)", xlabel="layer", yscale="log")
    left.legend()
    caption = "Roughness of the code along a text by depth, with 95% intervals over documents. Lower is smoother."
    return save_figure(run, fig, "action", caption)


def _score(row: Mapping[str, Any], name: str) -> Score:
    if row.get(name) is None:
        return Score.undefined(row.get(f"{name}_reason", "not measured"))
    low, high = row.get(f"{name}_ci") or (None, None)
    return Score(row[name], low, high)


def add_chapter(page: Page, rows: Sequence[Mapping[str, Any]], figures: Mapping[str, SavedFigure]) -> None:
    """The chapter of the report."""
    section = page.section("Random projections and trajectories", "trajectories")
    section.text(
        "A random three-dimensional projection of the code, followed along a text. Its action is the mean squared "
        "step; divided by the variance it is 1 for white noise and 0 for a constant. The closed form is "
        "3/(2m) sum ||A(t+1) - A(t)||^2: the second moment of differences, not the trace of the covariance."
    )
    section.figure(figures["action"]).figure(figures["trajectory"])
    worst = max(rows, key=lambda row: row["first_step_share"] or 0)
    section.text(
        f"Position 0 is left out. Were it kept, the single step from it to position 1 would hold up to "
        f"{worst['first_step_share']:.0%} of the whole action ({worst['site']})."
    )
    section.table(rows, COLUMNS, "Action of a window (mean), sampled check, action per variance, smoothest direction.")


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
    model, corpus = open_inputs(config)
    found, figures = chapter(config, run, model, corpus)
    page = Page(f"Trajectories of {model.name}", f"{corpus.n_tokens:,} tokens of {config.corpus}")
    add_chapter(page, found.rows, figures)
    page.write(run)
    run.finish({"sites": found.rows}, model=model.provenance(), corpus=corpus.describe())
    return text_table(found.rows, COLUMNS)
