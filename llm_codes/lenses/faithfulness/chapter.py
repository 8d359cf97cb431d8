"""The page of faithfulness curves, with what was measured of each part of a claim about a circuit."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import claims_rows
from eval.report.page import Section
from eval.runs import Run
from llm_codes.lenses.faithfulness.figures import draw_curves
from llm_codes.lenses.faithfulness.levels import levels_of, strongest_level
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, Curve, CurveResults

SHOWN = (0.001, 0.01, 0.1)


def add_curves(section: Section, run: Run, results: CurveResults, inputs: str) -> None:
    """Prompts, figure, areas, stability, claims, and the level that they license."""
    section.text(inputs)
    section.table([kind.to_json() for kind in results.kinds], caption="Kinds of prompts, and whether the model can do")
    section.figure(draw_curves(run, results.curves))
    section.text(
        "Nodes are transcoder features, or neurons, one at each layer and position after the first; kept nodes are "
        "live, the others have their mean over text, or what another document has at the same place. Errors: what the "
        "transcoders miss, kept (which flatters) or set to 0. CPR: area under the curve, higher is better; CMD: area "
        "between the curve and 1, lower is better; as MIB defines them, over nodes instead of edges."
    )
    section.table(curve_rows(results.curves), caption="All prompts; 95% intervals over documents")
    by_kind = [curve for curve in results.curves if curve.prompts != ALL_KINDS]
    section.table(curve_rows(by_kind, every=True), caption="By kind of prompt: features, errors stay, mean-ablated")
    rows = [row.to_json() for row in results.stability]
    section.table(
        rows, caption="Overlap of the 100 strongest nodes (Jaccard): the same prompt otherwise, other prompts"
    )
    if results.untrained is not None:
        rows = curve_rows(results.untrained.curves)
        section.table(
            rows, caption="Control: the untrained network with transcoders of its own, its most probable token for the "
            "right one",
        )  # fmt: skip
    section.table(claims_rows(results.claims), caption="Claims")
    levels = levels_of(results)
    section.table([level.to_json() for level in levels], caption="What was measured of a claim about these circuits")
    section.text(strongest_level(levels))


def curve_rows(curves: Sequence[Curve], every: bool = False) -> list[dict[str, object]]:
    """Each curve in a row: areas, and faithfulness at a few shares."""
    rows = []
    for curve in curves:
        if not every and curve.prompts != ALL_KINDS:
            continue
        points = {point.share: point.faithfulness for point in curve.points}
        row: dict[str, object] = {"prompts": curve.prompts, "nodes": curve.nodes, "errors": curve.errors}
        row |= {"ablation": curve.ablation, "ranking": curve.ranking, "metric": curve.metric, "n": curve.n_prompts}
        row |= {f"at {share:.1%}": str(points.get(share, "")) for share in SHOWN}
        rows.append(row | {"CPR": str(curve.cpr), "CMD": str(curve.cmd)})
    return rows
