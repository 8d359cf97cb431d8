"""Results of faithfulness curves."""

from __future__ import annotations

from collections.abc import Iterable

from eval.claims import Claim
from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score
from llm_codes.lenses.faithfulness.prompts import KindSummary

ALL_KINDS = "all"
METRICS = ("logit difference", "log probability")


@result
class PromptCurve(Result):
    """One curve of one prompt; the words are those of `Curve`. metric: at every share, by name."""

    nodes: str
    errors: str
    ablation: str
    ranking: str
    metric: dict[str, tuple[float, ...]]


@result
class PromptCurves(Result):
    """What one prompt gives: an item of the run.

    whole: metrics of the model itself. sets: the strongest nodes (layer, position from the end, node) by ranking.
    places: layers times positions at which nodes stand.
    """

    whole: dict[str, float]
    curves: tuple[PromptCurve, ...]
    sets: dict[str, tuple[tuple[int, int, int], ...]]
    places: int


@result
class CurvePoint(Result):
    """Faithfulness where a share of the nodes is kept; kept: nodes of a prompt, on average."""

    share: float
    kept: float
    faithfulness: Score


@result
class Curve(Result):
    """One curve.

    prompts: their kind, or all. nodes: features, features with shuffled decoders, or neurons. errors: whether what
    transcoders miss stays. ablation: mean or resample. ranking: graph, gradients or random; `graph, complement`: the
    most influential nodes are ablated and the rest kept (completeness: near 0 is good). metric: logit difference, or
    log probability of the right token (recovered loss). cpr, cmd: see `eval.measures.graphs.faithfulness`.
    """

    prompts: str
    nodes: str
    errors: str
    ablation: str
    ranking: str
    metric: str
    n_prompts: int
    cpr: Score
    cmd: Score
    points: tuple[CurvePoint, ...]

    def at(self, share: float) -> Score:
        """Faithfulness where this share of the nodes is kept."""
        return next(point.faithfulness for point in self.points if abs(point.share - share) < 1e-9)


def curve_over_all(curves: Iterable[Curve], nodes: str, errors: str, ablation: str, ranking: str) -> Curve | None:
    """The curve of the logit difference over all kinds of prompts; none where it was not measured."""
    wanted = (ALL_KINDS, nodes, errors, ablation, ranking, METRICS[0])
    for curve in curves:
        if (curve.prompts, curve.nodes, curve.errors, curve.ablation, curve.ranking, curve.metric) == wanted:
            return curve
    return None


@result
class Stability(Result):
    """Overlap (Jaccard index) of the kept sets, mean over prompts; 1 the same nodes, 0 none in common."""

    kind: str
    kept: int
    other_reference: Score
    fewer_words_before: Score
    graph_and_gradients: Score
    other_prompts: float | None


@result
class UntrainedCurves(Result):
    """The control: curves of the untrained network with transcoders of its own, trained on an equal budget.

    made_from: of what the results beside it were made, by content. transcoders: hash of the control's own.
    """

    made_from: dict[str, str]
    transcoders: str
    curves: tuple[Curve, ...]


@result
class CurveResults(Result):
    """`results.json` of `circuit curve`. untrained: none where neither transcoders nor results of it were at hand."""

    table = "curves"
    columns = ("prompts", "nodes", "errors", "ablation", "ranking", "metric", "n_prompts", "cpr", "cmd")

    kinds: tuple[KindSummary, ...]
    curves: tuple[Curve, ...]
    stability: tuple[Stability, ...]
    claims: tuple[Claim, ...]
    untrained: UntrainedCurves | None = noted(default=None, when_set=True)
