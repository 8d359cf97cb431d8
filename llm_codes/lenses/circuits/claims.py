"""What [FC] says of connectors, judged on an evaluation."""

from __future__ import annotations

from collections.abc import Mapping

from eval.claims import Claim
from eval.measures.statistics.binomial import binomial_share
from eval.scores import Score
from eval.verdicts import above, below, judged_claim
from llm_codes.lenses.circuits.rows import LogicForms
from llm_codes.lenses.connectors.rows import Scorecard

HALF = 0.5


def claims_of(scorecard: Scorecard, logic: LogicForms) -> list[Claim]:
    """[FC]'s statements about language models, and this suite's own bound on the connector.

    The control is the connector whose edges were drawn at random and whose weights were fitted on an equal budget: what
    it does as well is not the work of the edges that were found. Logic forms are shares of the outputs tested, each
    beside the share found when every output is tested over the parents of another.
    """
    row = next(row for row in scorecard.scorecard if row.row == "connector")
    score = row.share_of_gap or Score.undefined("no ablation gap was measured")
    controls = {row.row: row.share_of_gap for row in scorecard.controls if row.row.startswith("random edges")}
    return [
        judged_claim(
            "A connector stands in for the MLP between residual features and MLP-out features",
            "FC, language model",
            "its gap to SAE-out only is at most half of mean ablation's, and less than with random edges",
            score,
            below(HALF),
            controls={name: one for name, one in controls.items() if one is not None},
            note="share of the ablation gap, documents resampled" if score.is_defined else "",
            kind="prediction of ours",
            units="share of the ablation gap",
        ),
        *(_form_claim(kind, logic) for kind in ("or", "and-not")),
    ]


def _form_claim(kind: str, logic: LogicForms) -> Claim:
    controls = {"parents of another output": _share(kind, logic.named_with_others, logic.outputs_with_others)}
    return judged_claim(
        f"Some MLP-out features are an {kind.upper()} of features before the MLP",
        "FC, language model",
        "share of outputs named so by the truth-table tests (FDR .05, documents as units) above 0, and above what the "
        "parents of another output give",
        _share(kind, logic.named, logic.outputs_tested),
        above(0.0),
        controls=controls,
        note=f"{logic.named.get(kind, 0)} of {logic.outputs_tested} outputs; none is no proof of absence: critical "
        "cells must be seen",
        units="share, 0 to 1",
    )


def _share(kind: str, named: Mapping[str, int] | None, tested: int | None) -> Score:
    """Share of the outputs tested that were named with this kind of form, with its exact interval."""
    if named is None or not tested:
        return Score.undefined("no output could be tested", 0)
    return binomial_share(named.get(kind, 0), tested)
