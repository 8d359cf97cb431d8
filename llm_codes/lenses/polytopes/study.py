"""`polytopes`: spline codes of a language model's MLPs, their clusters, directions, density, maps and dictionary.

    study = polytopes(load_model("embedded"), corpus, layers="4:6")
    study.results.clusters.codes.cards[0].exemplars

In a run folder every stage is an item: what is finished is read back, and the text is walked only where one is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

import numpy as np

from eval.results import Result
from eval.runs import Run
from llm_codes.configs.inputs import HarvestOptions, lens_options
from llm_codes.configs.polytopes import PolytopesOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.polytopes.cluster_rows import ClusterStage
from llm_codes.lenses.polytopes.control import Measured, measured
from llm_codes.lenses.polytopes.meaning import less_controls
from llm_codes.lenses.polytopes.panel_rows import FlowStage, InterventionStage, NeuronStage
from llm_codes.lenses.polytopes.rays import SCALES, Rays
from llm_codes.lenses.polytopes.results import Polytopes
from llm_codes.lenses.polytopes.rows import (
    DensityStage,
    DictionaryStage,
    DirectionStage,
    Maps,
    RayStep,
)
from llm_codes.lenses.polytopes.stages import Stages
from llm_codes.models import load_model, untrained_like

Stage = TypeVar("Stage", bound=Result)


@dataclass(frozen=True, eq=False)
class Study:
    """What `polytopes` found: `results` as written to `results.json` (to which `claims.judged` adds the verdicts), and
    what figures and claims need besides: the cluster of every item, histograms of cosines, rays by network, and the
    numbers that the statements are judged on."""

    results: Polytopes
    code_labels: np.ndarray
    histograms: tuple[np.ndarray, np.ndarray]
    rays: dict[str, Rays]
    measured: Measured


def polytopes(
    model: Any,
    corpus: Corpus,
    options: PolytopesOptions | None = None,
    harvest_options: HarvestOptions | None = None,
    *,
    seed: int = 0,
    run: Run | None = None,
    **changes: Any,
) -> Study:
    """The polytope lens on a language model, from one pass over the corpus.

    Args:
        model: a `Model`, a name, or an existing bridge.
        options: the command's own (`PolytopesOptions`); harvest_options: excluded positions, batch size, memory limit.
        changes: single ones of either by name, e.g. `layers="4:6"`. run: a folder in which finished stages are kept.

    Raises:
        UserError: layers outside the model, an MLP whose activation has no code, windows under 8 tokens.
    """
    options, reading = lens_options(PolytopesOptions, options, harvest_options, changes)
    work = Stages(load_model(model), corpus, options, reading, seed, run)

    def stage(kind: type[Stage], name: str, compute: Callable[[], Stage]) -> Stage:
        if run is None:
            return compute()
        return kind.from_json(run.item(f"polytopes-{name}", lambda: compute().to_json(), of=(__name__,)))

    clusters = stage(ClusterStage, "clusters", work.cluster_stage)
    directions = stage(DirectionStage, "directions", work.direction_stage)
    density = stage(DensityStage, "density", work.density_stage)
    rays = work.all_rays()
    maps = stage(Maps, "maps", work.maps)
    dictionaries = stage(DictionaryStage, "dictionaries", work.dictionary_stage)
    flow = stage(FlowStage, "flow", work.flow_stage).flow
    neurons = stage(NeuronStage, "neurons", work.neuron_stage).neurons
    interventions = stage(InterventionStage, "interventions", work.intervention_stage).interventions
    control = None
    if options.control and not work.model.untrained:
        fresh = cache(lambda: _untrained(work))
        control = stage(Measured, "untrained", lambda: _measure_control(fresh()))
        flow += stage(FlowStage, "untrained-flow", lambda: fresh().flow_stage("untrained")).flow
        by_hand = stage(InterventionStage, "untrained-interventions", lambda: fresh().intervention_stage("untrained"))
        interventions += by_hand.interventions
    meaning = (*clusters.meaning, *directions.meaning)
    results = Polytopes(
        clusters=clusters.clusters,
        density=density.density,
        directions=directions.directions,
        rays={name: _ray_steps(one) for name, one in rays.items()},
        maps=maps,
        dictionary=dictionaries.dictionary,
        code=clusters.code,
        control=control,
        meaning=meaning,
        flow=flow,
        neurons=neurons,
        interventions=interventions,
        meaning_less_controls=less_controls(meaning, () if control is None else control.meaning),
    )
    return Study(
        results=results,
        code_labels=clusters.code_labels,
        histograms=(directions.edges, directions.cosine_counts),
        rays=rays,
        measured=measured(clusters, directions, density, maps, seed),
    )


def _untrained(work: Stages) -> Stages:
    """The same architecture untrained, on the same tokens."""
    options = replace(work.options, dictionary_steps=0, rays=0)
    return Stages(untrained_like(work.model, work.seed), work.corpus, options, work.reading, work.seed, None)


def _measure_control(fresh: Stages) -> Measured:
    """What the statements are judged on, of the untrained network."""
    parts = (fresh.cluster_stage(), fresh.direction_stage(projections=False), fresh.density_stage(), fresh.maps())
    return measured(*parts, fresh.seed)


def _ray_steps(rays: Rays) -> tuple[RayStep, ...]:
    middle = (SCALES[1:] + SCALES[:-1]) / 2
    mean = np.nanmean(rays.density, axis=0)
    return tuple(
        RayStep(float(s), float(d) if np.isfinite(d) else None, float(c))
        for s, d, c in zip(middle, mean, rays.changed.mean(0), strict=True)
    )
