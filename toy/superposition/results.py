"""What `toy.superposition` measures, as typed results.

Axis glossary: ``level`` sparsity levels, ``feature`` n inputs, ``hidden`` m dimensions. Mappings by entropy have the
value of H in bits as their key (`"16"`).
"""

from __future__ import annotations

from collections.abc import Mapping

from eval.experiment import ExperimentResults, Measurement
from eval.result_json import measured
from eval.results import Result, result
from eval.scores import Score


@result
class SparsityLevel(Result):
    """One sparsity level over its seeds.

    dimensions: D* = m/|W|^2, mean over seeds; represented: features with a weight vector longer than .3, mean.
    near_half: share of represented features that own half a dimension within .03; `None` where none is represented.
    feature_dimensions: D_i of the represented features of all seeds, each in [0, 1].
    bound: R by entropy; gram: W^T W of the 40 longest features of one model.
    near_half_by_seed: near_half of each model; near_half_shuffled: the same after each row of W was shuffled over the
    features, which keeps every weight and breaks every pair. dimensions_untrained: D* of the initial weights, by seed.
    """

    sparsity: float
    dimensions: Score = measured(n=None)
    dimensions_by_seed: tuple[float, ...]
    standard_error: float | None
    represented: float
    near_half: float | None
    feature_dimensions: tuple[float, ...]
    bound: Mapping[str, float]
    gram: tuple[tuple[float, ...], ...]
    near_half_by_seed: tuple[float | None, ...]
    near_half_shuffled: tuple[float | None, ...]
    dimensions_untrained: tuple[float, ...]


@result
class Polygon(Result):
    """Five features on two dimensions: the weights `[hidden feature]` of the best of 8 models, D_i of those present."""

    sparsity: float
    weights: tuple[tuple[float, ...], ...]
    feature_dimensions: tuple[float, ...]


@result
class PhaseDiagram(Result):
    """Which solution wins by relative importance and active share: indices into `names`, `[importance active]`.

    superposition_dense, superposition_sparse: share of cells in superposition at the densest and sparsest column;
    superposition_untrained: share of the starts that have both features on, before any step.
    """

    importances: tuple[float, ...]
    active: tuple[float, ...]
    phases: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    superposition_dense: float
    superposition_sparse: float
    superposition_untrained: float


@result
class SuperpositionResult(Measurement):
    """Dimensions per feature against sparsity and the bound R, geometry, phase diagram.

    floor: m/n. informative_below: by entropy, the sparsity up to which R exceeds the floor.
    plateaus: by value of D*, the slope there over the mean slope; `None` where no two neighbouring levels lie there.
    """

    table = "levels"
    columns = ("sparsity", "dimensions", "standard_error", "represented", "near_half")

    n_features: int
    n_hidden: int
    seeds: int
    levels: tuple[SparsityLevel, ...]
    floor: float
    informative_below: Mapping[str, float]
    plateaus: Mapping[str, float | None]
    polygons: tuple[Polygon, ...]
    phase: PhaseDiagram


SuperpositionResults = ExperimentResults[SuperpositionResult]
"""`results.json` of `python -m toy superposition`."""
