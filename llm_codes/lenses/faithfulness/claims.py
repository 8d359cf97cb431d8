"""What the curves say: few features do what the model does, and the graph finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.claims import Claim, needing
from eval.scores import Score
from eval.verdicts import above, corrected, judged_claim
from llm_codes.lenses.faithfulness.gates import FEATURES, NEURONS, SHUFFLED
from llm_codes.lenses.faithfulness.rows import Curve, curve_over_all

SMALL = 0.01
UNTRAINED = "untrained network, transcoders of its own"
SOURCE = "Marks et al. 2024, sparse feature circuits; Ameisen et al. 2025"


def claims_of(curves: Sequence[Curve], untrained: Sequence[Curve]) -> list[Claim]:
    """Sufficiency of a hundredth of the features, against random features and shuffled ones, and as many neurons.

    untrained: the curves of the untrained network and its own transcoders; without them no statement can hold.
    """
    out = []
    for ablation in ("mean", "resample"):
        for errors in ("stay", "ablated"):
            features = (FEATURES, errors, ablation)
            controls = {"random features": _at(curves, features, "random")}
            controls["shuffled features by gradients"] = _at(curves, (SHUFFLED, errors, ablation), "gradients")
            graph = curve_over_all(curves, *features, "graph")
            kept = 0.0 if graph is None else next(point.kept for point in graph.points if point.share == SMALL)
            controls["as many neurons by gradients"] = _at(curves, (NEURONS, "none", ablation), "gradients", kept)
            for ranking in ("graph", "gradients"):
                own = {**controls, UNTRAINED: _at(untrained, features, ranking)}
                out.append(_claim(errors, ablation, ranking, _at(curves, features, ranking), own))
    return corrected(out)


def _claim(errors: str, ablation: str, ranking: str, score: Score, controls: Mapping[str, Score]) -> Claim:
    found = judged_claim(
        f"{SMALL:.0%} of the features, ranked by {ranking}, do more than half of what the model does "
        f"(errors {errors}, {ablation}-ablated)",
        SOURCE,
        "faithfulness above .5, and above its controls",
        score,
        above(0.5),
        controls=controls,
        kind="prediction of ours",
        family="sufficiency",
        units="share of what the model does",
    )
    return needing(found, UNTRAINED)


def _at(curves: Sequence[Curve], place: tuple[str, str, str], ranking: str, kept: float | None = None) -> Score:
    """Faithfulness at the small share, or where about as many nodes are kept."""
    curve = curve_over_all(curves, *place, ranking)
    if curve is None:
        return Score.undefined("not measured")
    return curve.at(SMALL) if kept is None else min(curve.points, key=lambda p: abs(p.kept - kept)).faithfulness
