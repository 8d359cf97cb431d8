"""The typed results of MNIST unwrapped."""

from __future__ import annotations

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
    connector_weight_l1: float
