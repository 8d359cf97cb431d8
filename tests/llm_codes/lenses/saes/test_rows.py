"""What an evaluation shows: every score with its interval, or why it has none."""

from __future__ import annotations

from eval.scores import Score
from llm_codes.lenses.saes.rows import SCORES, DictionaryEvaluation


def test_scores_have_intervals_or_the_reason_beside_them():
    few = "17 documents; an interval resampled over documents needs at least 20"
    scores = {name: Score(0.5, 0.4, 0.6, 24) for name in SCORES} | {"fvu": Score(0.25, n=17, interval_reason=few)}
    shown = repr(DictionaryEvaluation("topk", "in", "out", **scores, density=())).splitlines()
    assert shown[0] == "topk at in to out" and shown[-1] == f"  no interval of fvu: {few}"
    assert f"  {'fvu':18}0.25" in shown and f"  {'ce_delta':18}0.5 [0.4, 0.6]" in shown
