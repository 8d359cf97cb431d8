"""The typed results of MNIST unwrapped."""

from __future__ import annotations

from eval.claims import Claim
from eval.result_json import noted
from eval.results import Result, result


@result
class SummaryRow(Result):
    """One quantity over seeds: its mean with a 95% t-interval, and the number of seeds."""

    quantity: str
    mean: float | None
    ci: list[float] | None
    seeds: int


@result
class Substitution(Result):
    """What is lost when layers 2 and 3 are replaced by features and connectors. Shares in [0, 1], cost in points."""

    accuracy: float
    accuracy_replaced: float
    accuracy_sae_3_only: float
    accuracy_mean_ablated: float
    cost_points: float
    changed_digits: float
    edges_per_output: tuple[float, ...]
    most_edges: int
    connector_l0: tuple[float, float]
    connector_mse: float
    mean_features_mse: float
    connector_weight_l1: float


@result
class DictionaryQuality(Result):
    """Held-out images: fraction of variance unexplained (0 is best), features active, their mean sum, mean squared
    error, share of features that are never active."""

    fvu: float
    l0: float
    l1: float
    mse: float
    silent_share: float


@result
class Starts(Result):
    """Mean squared error plus L1 of the first connector, feature by feature, from three starts, first and last steps.

    permuted: the control, the entries of the analytic weights in random places.
    """

    analytic_first_loss: float
    analytic_last_loss: float
    random_first_loss: float
    random_last_loss: float
    permuted_first_loss: float
    permuted_last_loss: float


@result
class SeedResult(Result):
    """One network: its dictionaries, what substitution costs, the comparison of starts.

    sae_1_before_training, sae_1_untied_before_training: of the same network as it started, the control.
    """

    seed: int
    n_features: int
    sae_1: DictionaryQuality
    sae_2: DictionaryQuality
    sae_3: DictionaryQuality
    sae_1_untied: DictionaryQuality
    sae_1_before_training: DictionaryQuality
    sae_1_untied_before_training: DictionaryQuality
    cost_points_before_joint_fit: float
    substitution: Substitution = noted(inline=True)
    starts: Starts = noted(inline=True)


@result
class UnwrapResults(Result):
    """`results.json` of the verb."""

    table = "summary"

    summary: tuple[SummaryRow, ...]
    seeds: tuple[SeedResult, ...]
    claims: tuple[Claim, ...]
