"""What the curves say: few features do what the model does, and the graph finds them."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import above, corrected, judged_claim
from llm_codes.lenses.faithfulness.gates import FEATURES, NEURONS, SHUFFLED
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, Curve
from llm_codes.lenses.faithfulness.study import METRICS

SMALL = 0.01
SOURCE = "Marks et al. 2024, sparse feature circuits; Ameisen et al. 2025"


def claims_of(curves: Sequence[Curve]) -> list[Claim]:
    """Sufficiency of a hundredth of the features, against random features and shuffled ones, and as many neurons."""
    out = []
    for ablation in ("mean", "resample"):
        for errors in ("stay", "ablated"):
            features = (FEATURES, errors, ablation)
            controls = {"random features": _at(curves, features, "random")}
            controls["shuffled features by gradients"] = _at(curves, (SHUFFLED, errors, ablation), "gradients")
            kept = next((curve.points for curve in _found(curves, features, "graph")), ())
            number = next((point.kept for point in kept if point.share == SMALL), 0.0)
            controls["as many neurons by gradients"] = _at(curves, (NEURONS, "none", ablation), "gradients", number)
            for ranking in ("graph", "gradients"):
                out.append(
                    judged_claim(
                        f"{SMALL:.0%} of the features, ranked by {ranking}, do more than half of what the model does "
                        f"(errors {errors}, {ablation}-ablated)",
                        SOURCE,
                        "faithfulness above .5, and above its controls",
                        _at(curves, features, ranking),
                        above(0.5),
                        controls=controls,
                        kind="prediction of ours",
                        family="sufficiency",
                    )
                )
    return corrected(out)


def _found(curves: Sequence[Curve], place: tuple[str, str, str], ranking: str) -> list[Curve]:
    wanted = (ALL_KINDS, *place, ranking, METRICS[0])
    return [
        curve
        for curve in curves
        if (curve.prompts, curve.nodes, curve.errors, curve.ablation, curve.ranking, curve.metric) == wanted
    ]


def _at(curves: Sequence[Curve], place: tuple[str, str, str], ranking: str, kept: float | None = None) -> Score:
    """Faithfulness at the small share, or where about as many nodes are kept."""
    for curve in _found(curves, place, ranking):
        if kept is None:
            return next(point.faithfulness for point in curve.points if point.share == SMALL)
        return min(curve.points, key=lambda point: abs(point.kept - kept)).faithfulness
    return Score.undefined("not measured")
