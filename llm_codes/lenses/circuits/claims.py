"""What [FC] says of connectors, judged on an evaluation."""

from __future__ import annotations

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import below, judged_claim
from llm_codes.lenses.circuits.rows import LogicForms
from llm_codes.lenses.connectors.rows import Scorecard

HALF = 0.5


def claims_of(scorecard: Scorecard, logic: LogicForms) -> list[Claim]:
    """[FC]'s statements about language models, and this suite's own bound on the connector.

    The control is the connector whose edges were drawn at random and whose weights were fitted on an equal budget: what
    it does as well is not the work of the edges that were found.
    """
    row = next(row for row in scorecard.scorecard if row.row == "connector")
    score = row.share_of_gap or Score.undefined("no ablation gap was measured")
    controls = {row.row: row.share_of_gap for row in scorecard.controls if row.row.startswith("random edges")}
    named = logic.named
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
        ),
        *(
            Claim(
                f"Some MLP-out features are an {kind.upper()} of features before the MLP",
                "FC, language model",
                "at least one survives the truth-table tests (FDR .05, documents as units)",
                float(named[kind]),
                "holds" if named[kind] else "cannot tell",
                n=logic.outputs_tested,
                note="number of output features named so; none is no proof of absence: critical cells must be seen",
            )
            for kind in ("or", "and-not")
        ),
    ]
