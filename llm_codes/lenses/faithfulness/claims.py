"""What the curves say: few features do what the model does, and the graph finds them."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import above, corrected, judged_claim
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, Curve
from llm_codes.lenses.faithfulness.study import METRICS

SMALL = 0.01
SOURCE = "Marks et al. 2024, sparse feature circuits; Ameisen et al. 2025"


def claims_of(curves: Sequence[Curve]) -> list[Claim]:
    """Sufficiency of a hundredth of the nodes, against random sets of the same size and, for features, neurons."""
    out = []
    for ablation in ("mean", "resample"):
        controls = {"random features": _at(curves, "features", "stay", ablation, "random")}
        controls["neurons by gradients"] = _at(curves, "neurons", "none", ablation, "gradients")
        for errors in ("stay", "ablated"):
            for ranking in ("graph", "gradients"):
                score = _at(curves, "features", errors, ablation, ranking)
                out.append(
                    judged_claim(
                        f"{SMALL:.0%} of the features, ranked by {ranking}, do more than half of what the model does "
                        f"(errors {errors}, {ablation}-ablated)",
                        SOURCE,
                        "faithfulness above .5, and above random sets and neurons of the same share",
                        score,
                        above(0.5),
                        controls=controls,
                        kind="prediction of ours",
                        family="sufficiency",
                    )
                )
    return corrected(out)


def _at(curves: Sequence[Curve], nodes: str, errors: str, ablation: str, ranking: str) -> Score:
    wanted = (ALL_KINDS, nodes, errors, ablation, ranking, METRICS[0])
    for curve in curves:
        if (curve.prompts, curve.nodes, curve.errors, curve.ablation, curve.ranking, curve.metric) == wanted:
            return next(point.faithfulness for point in curve.points if point.share == SMALL)
    return Score.undefined("not measured")
