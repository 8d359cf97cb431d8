"""Superposition: dimensions per feature, sticky regions, geometry, phase diagram, and the bound R [TMS; MK Fig. 1c].

Axis glossary: ``level`` sparsity levels, ``entropy`` values of H, ``feature``.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from eval.errors import UserError
from eval.measures.information.capacity import compression_rate, informative_sparsity
from eval.runs import json_ready
from toy.configs.superposition import SuperpositionConfig
from toy.safeguards import check_count, seed_range
from toy.superposition.measures import (
    dimensions_per_feature,
    feature_dimensionality,
    plateau_slope,
    represented,
)
from toy.superposition.phase import PHASES, phase_diagram
from toy.superposition.training import SuperpositionModels, SuperpositionSetting, train

POLYGON_SPARSITIES = (0.0, 0.8, 0.9)


def measure(config: SuperpositionConfig) -> dict[str, Any]:
    """Everything the claims and figures need, as plain JSON."""
    check_count(config.levels, "levels", 3)
    for entropy in config.entropies:
        if not entropy > 0:
            raise UserError(f"expected H > 0 bits; got {entropy:g}; H is the entropy of one active feature")
    setting = SuperpositionSetting(
        n_features=config.n_features,
        n_hidden=config.n_hidden,
        batch=config.batch,
        steps=config.steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    active = [20 ** (-k / (config.levels - 1)) for k in range(config.levels)]
    models = train(setting, [1 - p for p in active], seed_range(config.seed, config.seeds))
    levels = [_level(models, k, config) for k in range(config.levels)]
    curve = [level["dimensions"] for level in levels]
    return json_ready(
        {
            "n_features": config.n_features,
            "n_hidden": config.n_hidden,
            "seeds": config.seeds,
            "levels": levels,
            "floor": config.n_hidden / config.n_features,
            "informative_below": {
                f"{h:g}": informative_sparsity(config.n_features, config.n_hidden, h) for h in config.entropies
            },
            "plateaus": {f"{v:g}": plateau_slope(curve, v) for v in (1.0, 0.5)},
            "polygons": measure_polygons(config.seed),
            "phase": measure_phase(config),
        }
    )


def _level(models: SuperpositionModels, level: int, config: SuperpositionConfig) -> dict[str, Any]:
    """One sparsity level, over its seeds."""
    weights = models.weights[level :: config.levels]
    dimensions = dimensions_per_feature(weights)
    owned, present = feature_dimensionality(weights), represented(weights)
    sparsity = models.sparsities[level]
    shares = owned[present]
    gram = weights[0].T @ weights[0]
    order = torch.argsort(weights[0].norm(dim=0), descending=True)[:40]
    return {
        "sparsity": sparsity,
        "dimensions": float(dimensions.mean()),
        "dimensions_by_seed": dimensions.tolist(),
        "standard_error": float(dimensions.std() / math.sqrt(len(dimensions))) if len(dimensions) > 1 else None,
        "represented": float(present.sum(1).double().mean()),
        "near_half": float(((shares - 0.5).abs() < 0.03).double().mean()) if len(shares) else None,
        "feature_dimensions": [round(value, 4) for value in shares.tolist()],
        "bound": {f"{h:g}": compression_rate(sparsity, h) for h in config.entropies},
        "gram": [[round(value, 3) for value in row] for row in gram[order][:, order].tolist()],
    }


def measure_polygons(seed: int) -> list[dict[str, Any]]:
    """Five features on two dimensions: the geometry of the best of 8 models at three sparsities."""
    setting = SuperpositionSetting(n_features=5, n_hidden=2, batch=256, steps=1500, importance_decay=0.9)
    models = train(setting, POLYGON_SPARSITIES, seed_range(seed, 8))
    out = []
    for index, sparsity in enumerate(POLYGON_SPARSITIES):
        picks = slice(index, None, len(POLYGON_SPARSITIES))
        active = 1 - sparsity
        inputs = torch.rand((20_000, 5), generator=torch.Generator().manual_seed(seed)) / active
        inputs = inputs * (inputs < 1)
        chosen = SuperpositionModels(setting, (), (), models.weights[picks], models.bias[picks])
        error = (chosen.output(inputs.expand(8, -1, -1)) - inputs).square() * setting.importance
        best = int(error.sum(2).mean(1).argmin())
        weights = chosen.weights[best]
        shares = feature_dimensionality(weights[None])[0][represented(weights[None])[0]]
        out.append({"sparsity": sparsity, "weights": weights.tolist(), "feature_dimensions": shares.tolist()})
    return out


def measure_phase(config: SuperpositionConfig) -> dict[str, Any]:
    """Two features on one dimension over relative importance and active share."""
    importances = torch.logspace(-1, 1, config.phase_resolution)
    active = torch.logspace(0, -2, config.phase_resolution)
    phases = phase_diagram(importances, active, seed=config.seed)
    both = PHASES.index("both, in superposition")
    return {
        "importances": importances.tolist(),
        "active": active.tolist(),
        "phases": phases.tolist(),
        "names": PHASES,
        "superposition_dense": float((phases[:, 0] == both).double().mean()),
        "superposition_sparse": float((phases[:, -1] == both).double().mean()),
    }
