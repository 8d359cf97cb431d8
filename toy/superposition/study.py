"""Superposition: dimensions per feature, sticky regions, geometry, phase diagram, and the bound R [TMS; MK Fig. 1c].

Axis glossary: ``level`` sparsity levels, ``entropy`` values of H, ``feature``.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.experiment import mean_score, standard_error
from eval.measures.information.capacity import compression_rate, informative_sparsity
from eval.options import chosen
from toy.configs.superposition import SuperpositionOptions
from toy.safeguards import seed_range
from toy.superposition.measures import (
    dimensions_per_feature,
    feature_dimensionality,
    plateau_slope,
    represented,
)
from toy.superposition.phase import PHASES, check_diagram_fits, phase_diagram, untrained_superposition
from toy.superposition.results import PhaseDiagram, Polygon, SparsityLevel, SuperpositionResult
from toy.superposition.training import SuperpositionModels, SuperpositionSetting, check_fits, initial_weights, train

POLYGON_SPARSITIES = (0.0, 0.8, 0.9)


def setting_of(options: SuperpositionOptions) -> SuperpositionSetting:
    """Sizes and training of the models of every level."""
    names = ("n_features", "n_hidden", "batch", "steps", "learning_rate", "weight_decay")
    return SuperpositionSetting(**{name: getattr(options, name) for name in names})


def measure(options: SuperpositionOptions | None = None, *, seed: int = 0, **changes: Any) -> SuperpositionResult:
    """Everything the claims and figures need.

    Args:
        options: sizes, training, levels, resolution of the phase diagram; `changes` replace single ones (`levels=5`).
        seed: of the first model; the others have the seeds after it.

    Raises:
        UserError: an option outside its range; models or cells that do not fit into memory, before any work; weights
            that are no longer finite.
    """
    config = chosen(SuperpositionOptions, options, changes)
    setting = setting_of(config)
    check_fits(setting, config.levels * config.seeds)
    check_diagram_fits(config.phase_resolution)
    active = [20 ** (-k / (config.levels - 1)) for k in range(config.levels)]
    models = train(setting, [1 - p for p in active], seed_range(seed, config.seeds))
    start = dimensions_per_feature(initial_weights(config.n_features, config.n_hidden, seed_range(seed, config.seeds)))
    levels = tuple(_level(models, k, config, tuple(start.tolist())) for k in range(config.levels))
    curve = [level.dimensions.value or 0.0 for level in levels]
    n, m = config.n_features, config.n_hidden
    return SuperpositionResult(
        n_features=n,
        n_hidden=m,
        seeds=config.seeds,
        levels=levels,
        floor=m / n,
        informative_below={f"{h:g}": informative_sparsity(n, m, h) for h in config.entropies},
        plateaus={f"{v:g}": plateau_slope(curve, v) for v in (1.0, 0.5)},
        polygons=measure_polygons(seed),
        phase=measure_phase(config.phase_resolution, seed),
    )


def _level(
    models: SuperpositionModels, level: int, config: SuperpositionOptions, untrained: tuple[float, ...]
) -> SparsityLevel:
    """One sparsity level, over its seeds."""
    weights = models.weights[level :: config.levels]
    dimensions = dimensions_per_feature(weights).tolist()
    owned, present = feature_dimensionality(weights), represented(weights)
    sparsity = models.sparsities[level]
    shares = owned[present]
    gram = weights[0].T @ weights[0]
    order = torch.argsort(weights[0].norm(dim=0), descending=True)[:40]
    return SparsityLevel(
        sparsity=sparsity,
        dimensions=mean_score(dimensions),
        dimensions_by_seed=tuple(dimensions),
        standard_error=standard_error(dimensions),
        represented=float(present.sum(1).double().mean()),
        near_half=float(((shares - 0.5).abs() < 0.03).double().mean()) if len(shares) else None,
        feature_dimensions=tuple(round(value, 4) for value in shares.tolist()),
        bound={f"{h:g}": compression_rate(sparsity, h) for h in config.entropies},
        gram=tuple(tuple(round(value, 3) for value in row) for row in gram[order][:, order].tolist()),
        near_half_by_seed=near_half(weights),
        near_half_shuffled=near_half(shuffled(weights)),
        dimensions_untrained=untrained,
    )


def near_half(weights: Float[Tensor, "model hidden feature"]) -> tuple[float | None, ...]:
    """Share of each model's represented features that own half a dimension within .03; `None` for a model with none."""
    owned, present = feature_dimensionality(weights), represented(weights)
    close = ((owned - 0.5).abs() < 0.03) & present
    counts = zip(close.sum(1).tolist(), present.sum(1).tolist(), strict=True)
    return tuple(hits / all_ if all_ else None for hits, all_ in counts)


def shuffled(weights: Float[Tensor, "model hidden feature"]) -> Float[Tensor, "model hidden feature"]:
    """Each row of W shuffled over the features: every weight is kept, no two features stay paired."""
    order = torch.rand(weights.shape, generator=torch.Generator().manual_seed(0)).argsort(2)
    return weights.gather(2, order)


def measure_polygons(seed: int) -> tuple[Polygon, ...]:
    """Five features on two dimensions: the geometry of the best of 8 models at three sparsities."""
    setting = SuperpositionSetting(n_features=5, n_hidden=2, batch=256, steps=1500, importance_decay=0.9)
    models = train(setting, POLYGON_SPARSITIES, seed_range(seed, 8))
    out = []
    for index, sparsity in enumerate(POLYGON_SPARSITIES):
        picks = slice(index, None, len(POLYGON_SPARSITIES))
        active = 1 - sparsity
        inputs = torch.rand((20_000, 5), generator=torch.Generator().manual_seed(seed)) / active
        inputs = inputs * (inputs < 1)
        group = SuperpositionModels(setting, (), (), models.weights[picks], models.bias[picks])
        error = (group.output(inputs.expand(8, -1, -1)) - inputs).square() * setting.importance
        best = int(error.sum(2).mean(1).argmin())
        weights = group.weights[best]
        shares = feature_dimensionality(weights[None])[0][represented(weights[None])[0]]
        out.append(Polygon(sparsity, tuple(map(tuple, weights.tolist())), tuple(shares.tolist())))
    return tuple(out)


def measure_phase(resolution: int, seed: int) -> PhaseDiagram:
    """Two features on one dimension over relative importance and active share, `resolution` cells a side."""
    importances = torch.logspace(-1, 1, resolution)
    active = torch.logspace(0, -2, resolution)
    phases = phase_diagram(importances, active, seed=seed)
    both = PHASES.index("both, in superposition")
    return PhaseDiagram(
        importances=tuple(importances.tolist()),
        active=tuple(active.tolist()),
        phases=tuple(map(tuple, phases.tolist())),
        names=PHASES,
        superposition_dense=float((phases[:, 0] == both).double().mean()),
        superposition_sparse=float((phases[:, -1] == both).double().mean()),
        superposition_untrained=untrained_superposition(seed=seed),
    )
