"""What [FC] says of connectors, judged on an evaluation."""

from __future__ import annotations

from typing import Any

from eval.claims import Claim, judge_sign
from eval.scores import Score


def claims_of(results: dict[str, Any]) -> list[Claim]:
    """[FC]'s statements about language models, and this suite's own bound on the connector."""
    rows = {row["row"]: row for row in [*results["scorecard"], *results["controls"]]}
    share = rows["connector"]
    interval = share.get("share_of_gap_ci")
    reason = share.get("share_of_gap_reason") or "no interval"
    if share["share_of_gap"] is None:
        score = Score.undefined(reason)
    else:
        low, high = interval or (None, None)
        score = Score(share["share_of_gap"], low, high, interval_reason=None if interval else reason)
    named = results["logic_forms"]["named"]
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
                n=results["logic_forms"]["outputs_tested"],
                note="number of output features named so; none is no proof of absence: critical cells must be seen",
            )
            for kind in ("or", "and-not")
        ),
    ]
