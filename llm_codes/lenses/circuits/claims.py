"""What [FC] says of connectors, judged on an evaluation."""

from __future__ import annotations

from eval.claims import Claim, judge_sign
from eval.scores import Score
from llm_codes.lenses.circuits.rows import LogicForms
from llm_codes.lenses.connectors.rows import Scorecard


def claims_of(scorecard: Scorecard, logic: LogicForms) -> list[Claim]:
    """[FC]'s statements about language models, and this suite's own bound on the connector."""
    row = next(row for row in scorecard.scorecard if row.row == "connector")
    score = row.share_of_gap or Score.undefined("no ablation gap was measured")
    reason = score.reason or score.interval_reason or "no interval"
    named = logic.named
    return [
        Claim(
            "A connector stands in for the MLP between residual features and MLP-out features",
            "FC, language model",
            "its gap to SAE-out only is at most half of mean ablation's",
            score.value,
            judge_sign(score, "below", 0.5),
            interval=None if score.interval is None else (score.interval[0], score.interval[1]),
            note="share of the ablation gap, documents resampled" if score.is_defined else reason,
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
