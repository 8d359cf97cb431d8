"""What `toy.incidental` measures, as typed results.

Axis glossary: ``size`` (n, m) pairs, ``step`` recorded training steps, ``rank`` of a weight among its feature's.
"""

from __future__ import annotations

from eval.experiment import ExperimentResults, Measurement
from eval.result_json import measured
from eval.results import Result, result
from eval.scores import Score


@result
class PolysemanticCount(Result):
    """Polysemantic neurons at one size, mean over models, beside both laws and the convergence gate.

    converged: share of features with exactly one weight above .5, in [0, 1]. untrained: the same count of the initial
    weights, the control. shared: polysemantic neurons of all models together; same_sign: those that hold two weights of
    one sign; same_sign_by_chance: the same where every weight is given a sign at random.
    """

    n_features: int
    n_hidden: int
    seeds: int
    mean: Score = measured(n=None)
    standard_error: float | None
    occupancy: float
    leading_order: float
    converged: float
    untrained: Score
    shared: int = 0
    same_sign: int = 0
    same_sign_by_chance: int = 0


@result
class Setting(Result):
    """The setting that all sizes share, at the first of them."""

    n_features: int
    n_hidden: int
    l1: float
    noise: str
    noise_scale: float
    optimiser: str
    learning_rate: float
    weight_decay: float
    steps: int
    dtype: str


@result
class Initialisation(Result):
    """Correlation of the final with the initial weights, and the winner's initial rank.

    diagonal, off_diagonal: means of W_0 W^T; off_diagonal_deviation: standard deviation of its entries.
    kept: share of features whose initially largest |w| is also the final one; chance: 1/m.
    winner_rank: mean initial rank of the winner as a share of m: 0 was the largest, .5 is chance.
    rank_histogram: share of winners per initial rank 1, 2, ...; the first 20.
    excess: diagonal less off-diagonal, model by model; excess_other, kept_other: the same with the initial weights of
    another model, the controls (undefined for a single model). converged: as in the counts; before that the final
    weights still are the initial ones, and correlate with them for no other reason.
    """

    optimiser: str
    n: int
    m: int
    seeds: int
    diagonal: Score = measured(n=None)
    diagonal_standard_error: float | None
    off_diagonal: float
    off_diagonal_deviation: float
    kept: Score = measured(n=None)
    kept_standard_error: float | None
    chance: float
    winner_rank: float
    rank_histogram: tuple[float, ...]
    excess: Score
    excess_other: Score
    kept_other: Score
    converged: float


@result
class NoiseNorm(Result):
    """Mean fourth norm ||w||_4^4 of the rows under noise of one kind: 1 is one weight a row, 3/(m+2) isotropic."""

    noise: str
    excess_kurtosis: float
    steps: tuple[int, ...]
    fourth_norm: tuple[float, ...]
    final: Score = measured(n=None)
    standard_error: float | None
    isotropic: float
    seeds: int


@result
class RowNorm(Result):
    """A single row's L1 norm by lambda t, its surviving weights, and ||w||_1 (1/sqrt(m) + lambda t), near 1 if the law
    holds.

    mean_range, single_range: smallest and largest ratio of the mean and of any row, .003 <= lambda t <= 1.
    mean_path: the mean ratio where it is farthest from the law's 1, with the hull of its intervals over rows at all
    those times (or that time's, where it lies outside the band); mean_path_untrained: the same of rows that stay as
    they started, the control; untrained_always_inside: their share in the band.
    rows_always_inside, inside: shares of rows and of (row, time) points in [.85, 1.5].
    """

    n_hidden: int
    l1: float
    seeds: int
    scaled_time: tuple[float, ...]
    ratio_mean: tuple[float, ...]
    ratio_low: tuple[float, ...]
    ratio_high: tuple[float, ...]
    l1_norm: tuple[float, ...]
    survivors: tuple[float, ...]
    mean_range: tuple[float, float]
    single_range: tuple[float, float]
    rows_always_inside: float
    inside: float
    mean_path: Score
    mean_path_untrained: Score
    untrained_always_inside: float


@result
class DecayRate(Result):
    """How fast the L1 norm of a feature falls in trained models at one lambda: mean growth of 1/||w||_1 a unit of time
    (learning rate x steps) between two recorded times, by model. Lambda itself where the law holds."""

    l1: float
    by_seed: tuple[float, ...]
    mean: Score = measured(n=None)


@result
class Movie(Result):
    """One model's weights by step, flattened (features times neurons), for the page's slider."""

    n: int
    m: int
    steps: tuple[int, ...]
    frames: tuple[tuple[float, ...], ...]
    loss: tuple[float, ...]
    l1_norm: tuple[float, ...]
    polysemantic: tuple[int, ...]


@result
class IncidentalResult(Measurement):
    """The four results of the post, and one model's training as a film."""

    table = "counts"

    counts: tuple[PolysemanticCount, ...]
    setting: Setting
    initialisation: tuple[Initialisation, ...]
    noise: tuple[NoiseNorm, ...]
    row: RowNorm
    movie: Movie
    rates: tuple[DecayRate, ...] = ()


IncidentalResults = ExperimentResults[IncidentalResult]
"""`results.json` of `python -m toy incidental`."""
