"""What `toy.spectra` measures, as typed results."""

from __future__ import annotations

from eval.experiment import ExperimentResults, Measurement
from eval.result_json import measured
from eval.results import Result, result
from eval.scores import Score


@result
class ToyCode(Result):
    """One superposition model through the measures of the other wings.

    alpha: power-law exponent of the eigenvalues over indices 2 to m. expected_action, sampled_action: of random
    projections along the walk, closed form and mean of 200 draws (with its standard error). action_per_trace and
    minimum_action: in units of variance. distinct_codes: spline codes per input, in (0, 1]; density: code changes per
    distance between inputs.
    """

    model: str
    sparsity: float
    dimensions_per_feature: float
    eigenvalues: tuple[float, ...]
    alpha: Score = measured(key="alpha (indices 2 to m)", ci="alpha_ci", reason="alpha_reason", n=None)
    participation_ratio: Score = measured(ci=None, n=None)
    effective_rank: Score = measured(ci=None, n=None)
    expected_action: float
    sampled_action: float
    sampled_action_standard_error: float
    action_per_trace: float
    minimum_action: float
    distinct_codes: float
    density: Score = measured(ci=None, n=None)


@result
class ToySpectraResult(Measurement):
    """The codes of superposition models by sparsity, the last one untrained."""

    table = "models"
    columns = ("model", "sparsity", "alpha (indices 2 to m)", "participation_ratio", "action_per_trace", "density")

    models: tuple[ToyCode, ...]
    n_features: int
    n_hidden: int


ToySpectraResults = ExperimentResults[ToySpectraResult]
"""`results.json` of `python -m toy spectra`."""
