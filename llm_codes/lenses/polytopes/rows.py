"""What the polytope lens found, with types; the JSON keys are those documented for `results.json`.

Axis glossary: ``direction``, ``cluster``, ``edge`` and ``bin`` of a histogram, ``chosen`` items.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score
from llm_codes.lenses.polytopes.meaning import Meaning


@result
class DensityRow(Result):
    """Boundaries per length between tokens of one class and of two, at one layer; exact: crossings of the block."""

    classes: str = noted(key="class")
    layer: int
    n_classes: int
    n_pairs: int
    count: str
    intra: Score
    inter: Score
    difference: Score
    exact_intra: Score
    exact_inter: Score
    undefined: str | None
    share_near_zero: float | None
    soft_intra: float | None
    soft_inter: float | None


@result
class Contrast(Result):
    """Prediction 2, for one kind of class: (inter - intra) / inter over layers, and its slope per layer."""

    contrast: Score
    trend: Score


@result
class DirectionRow(Result):
    """One direction: clusters its strongest items meet, their meaning, clusters of its projection (NMF only)."""

    n_items: int
    n_clusters: int
    effective_clusters: float
    largest_share: float | None
    noise_share: float | None
    token_monosemantic: bool
    token_q: float | None
    token_reduction: float | None
    next_token_monosemantic: bool
    next_token_q: float | None
    next_token_reduction: float | None
    top_tokens: tuple[str, ...]
    projection_clusters: int | None = noted(default=None, when_set=True)
    projection_monosemantic: int | None = noted(default=None, when_set=True)

    @property
    def is_pure(self) -> bool:
        """Its strongest items are less mixed in token or next token than chance."""
        return self.token_monosemantic or self.next_token_monosemantic


@result
class DirectionSet(Result):
    """NMF or PCA directions. unexplained: share of the variance they leave. directions: under the key `rows`."""

    method: str
    unexplained: float
    directions: tuple[DirectionRow, ...] = noted(key="rows")


@result
class Boundary(Result):
    """Crossings of the first coded block along one direction within the data's range."""

    kind: str
    direction: int
    count: int
    length: float
    density: float
    label: str


@result
class Directions(Result):
    nmf: DirectionSet
    pca: DirectionSet
    boundaries: tuple[Boundary, ...]


@result
class RayStep(Result):
    """Mean over rays at one scale: density (a sampled lower bound) and share whose predicted token changes."""

    scale: float
    density: float | None
    token_changes: float
    count: str = "sampled lower bound"


@result
class MapSpectrum(Result):
    """Of the mean gate map of a cluster: largest singular values, participation ratio."""

    cluster: int
    singular_values: tuple[float, ...]
    participation_ratio: float


@result
class Maps(Result):
    """The local maps of the first coded block. frozen: relative errors of the frozen maps; hamming_frobenius: rank
    correlation of code distance and map distance."""

    layer: int
    frozen: Mapping[str, float]
    by_cluster: tuple[MapSpectrum, ...]
    hamming_frobenius: Score


@result
class DictionaryRow(Result):
    """One sparse dictionary on held-out tokens; only `basis` and `reason` where there is none."""

    basis: str
    method: str | None = noted(default=None, when_set=True)
    n_train: int | None = noted(default=None, when_set=True)
    n_features: int | None = noted(default=None, when_set=True)
    fraction_unexplained: float | None = noted(default=None, when_set=True)
    bit_error: float | None = None
    mean_active: float | None = noted(default=None, when_set=True)
    token_monosemantic_share: float | None = None
    token_judged: int | None = noted(default=None, when_set=True)
    next_token_monosemantic_share: float | None = None
    next_token_judged: int | None = noted(default=None, when_set=True)
    reason: str | None = noted(default=None, when_set=True)


@result
class DirectionStage(Result):
    """An item of a run: the directions; histograms of cosines by cluster; the strongest items of NMF directions; how
    much less mixed than random these are, beside random directions and neurons."""

    directions: Directions
    edges: Float[np.ndarray, " edge"]
    cosine_counts: Int[np.ndarray, "direction cluster bin"]
    top: tuple[Int[np.ndarray, " chosen"], ...]
    meaning: tuple[Meaning, ...] = ()


@result
class DensityStage(Result):
    """An item of a run: densities, and what prediction 2 is judged on, by kind of class."""

    density: tuple[DensityRow, ...]
    contrast: Mapping[str, Contrast]


@result
class DictionaryStage(Result):
    """An item of a run: the dictionaries."""

    dictionary: tuple[DictionaryRow, ...]
