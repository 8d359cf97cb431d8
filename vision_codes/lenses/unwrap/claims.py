"""The feature-connector post's statements about MNIST, each with a verdict over seeds. Numbers in, claims out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import Region, above, below, corrected, judged_claim
from vision_codes.lenses.unwrap.results import SummaryRow

MAXIMUM_COST_POINTS = 1.5


def over_seeds(values: Sequence[float]) -> Score:
    """Mean over seeds with a 95% t-interval; without one for a single seed."""
    array = np.asarray(values, float)
    if len(array) < 2:
        return Score(float(array[0]), n=1, interval_reason="one seed: no interval")
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    mean = float(array.mean())
    return Score(mean, mean - half, mean + half, len(array))


def summary_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[SummaryRow, ...]:
    """What the command prints: each quantity with its mean and 95% interval over seeds."""
    named = {
        "accuracy of the network": [row["accuracy"] for row in rows],
        "accuracy, layers 2 and 3 replaced": [row["accuracy_replaced"] for row in rows],
        "cost in points": [row["cost_points"] for row in rows],
        "cost in points before the joint fit": [row["cost_points_before_joint_fit"] for row in rows],
        "images whose digit changes": [row["changed_digits"] for row in rows],
        "accuracy, last dictionary only": [row["accuracy_sae_3_only"] for row in rows],
        "accuracy, mean-ablated": [row["accuracy_mean_ablated"] for row in rows],
        "edges per output, first connector": [row["edges_per_output"][0] for row in rows],
        "edges per output, second connector": [row["edges_per_output"][1] for row in rows],
        "most edges of any output": [row["most_edges"] for row in rows],
    }
    for layer in (1, 2, 3):
        named[f"FVU of dictionary {layer}"] = [row[f"sae_{layer}"]["fvu"] for row in rows]
        named[f"L0 of dictionary {layer}"] = [row[f"sae_{layer}"]["l0"] for row in rows]
    scores = {name: over_seeds(values) for name, values in named.items()}
    return tuple(SummaryRow(name, score.value, score.interval, len(named[name])) for name, score in scores.items())


def claims_of(rows: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Verdicts on [FC]'s statements about MNIST, each beside the same number of what it is not about.

    Those are: layers that are mean-ablated, a start with nothing of what the layer computes, the network as it started,
    features that always have their mean.
    """
    cost = over_seeds([row["cost_points"] for row in rows])
    ratio, ratio_permuted = (_log_ratio(rows, "random_last_loss", f"{start}_last_loss") for start in STARTS)
    fall, fall_permuted = (
        over_seeds([row[f"{start}_last_loss"] / max(row[f"{start}_first_loss"], 1e-12) for row in rows])
        for start in STARTS
    )
    tied, tied_before = (
        over_seeds([np.log(row[f"sae_1{of}"]["mse"] / row[f"sae_1_untied{of}"]["mse"]) for row in rows])
        for of in ("", "_before_training")
    )
    error, constant = (over_seeds([row[f"{of}_mse"] for row in rows]) for of in ("connector", "mean_features"))
    mean_ablated = over_seeds([100 * (row["accuracy"] - row["accuracy_mean_ablated"]) for row in rows])
    return corrected([
        _claim(
            "Two layers can be replaced by features and connectors at a small loss of accuracy",
            f"at most {MAXIMUM_COST_POINTS} points (the post lost 3.8)",
            cost,
            below(MAXIMUM_COST_POINTS),
            "points of accuracy; holds when the upper 95% limit over seeds is below the bound",
            {"the same layers mean-ablated": mean_ablated}, units="points of accuracy",
        ),
        _claim(
            "The analytic start is a local minimum",
            "training from it hardly lowers the loss: last / first loss near 1 (at least 0.9), and above the control's",
            fall,
            above(0.9),
            "last loss / first loss when training starts from the analytic weights",
            {"the same weights in random places": fall_permuted}, units="ratio",
        ),
        _claim(
            "A random start reaches a much lower loss than the analytic one",
            "log(random / analytic) of the last losses below log(1/2), and below the control's",
            ratio,
            below(float(np.log(0.5))),
            "log ratio of the last losses; same steps, same penalty, feature by feature",
            {"analytic weights in random places": ratio_permuted}, units="log ratio",
        ),
        _claim(
            "Tied dictionaries beat untied ones",
            "log(MSE tied / MSE untied) below 0, and below the untrained network's, at equal L0 and steps (the post: "
            "MSE .040, L1 .049 tied)",
            tied,
            below(0.0),
            "log ratio of held-out mean squared errors on the first hidden layer, TopK at the same k",
            {"the network before training": tied_before}, units="log ratio",
        ),
        _claim(
            "Connectors reach MSE .032 at L1 .021",
            "MSE at most .032, in units that the post does not state",
            error,
            None,
            "no verdict: the post's units of features are not stated, so only the order of magnitude can be compared",
            {"features at their mean": constant}, units="squared activation",
        ),
    ])  # fmt: skip


STARTS = ("analytic", "permuted")


def _log_ratio(rows: Sequence[Mapping[str, Any]], above_line: str, below_line: str) -> Score:
    return over_seeds([np.log(row[above_line] / row[below_line]) for row in rows])


def _claim(
    text: str, prediction: str, score: Score, region: Region | None, note: str, controls: Mapping[str, Score],
    *, units: str,
) -> Claim:  # fmt: skip
    """Judged over seeds; region `None`: no verdict can be given."""
    if region is None:
        interval = None if score.low is None or score.high is None else (score.low, score.high)
        words = (text, "FC, MNIST", prediction, score.value)
        return Claim(*words, "cannot tell", interval, seeds=score.n, note=note, controls=controls, units=units)
    return judged_claim(
        text, "FC, MNIST", prediction, score, region, controls=controls, note=note, degrees=max(1, (score.n or 2) - 1),
        family="MNIST unwrapped", over_seeds=True, units=units,
    )  # fmt: skip
