"""What replacing says: transcoders keep what the model does, by their features and not only by their budget."""

from __future__ import annotations

from collections.abc import Mapping

from eval.claims import Claim, needing
from eval.scores import Score
from eval.verdicts import Region, above, corrected, judged_claim
from llm_codes.lenses.faithfulness.claims import UNTRAINED
from llm_codes.lenses.replacement.outputs import LINEAR, MEANS, SHUFFLED, TRANSCODERS, VARIANTS
from llm_codes.lenses.replacement.rows import ReplacementResults

SOURCE = "Dunefsky et al. 2024, section 4; Ameisen et al. 2025, replacement model"
FAMILY = "replacement"
HALF = 0.5


def claims_of(results: ReplacementResults) -> list[Claim]:
    """Two predictions of ours about all layers at once; without the untrained network's none can hold."""
    whole = {name: results.row(name) for name in VARIANTS}
    rows = () if results.untrained is None else results.untrained.replacements
    control = next((row for row in rows if row.variant == TRANSCODERS), None)
    missing = Score.undefined("not measured")
    return corrected(
        [
            _claim(
                "transcoders at every layer keep the model's predictions better than linear maps",
                "KL of linear maps minus KL of transcoders, nats per token, above 0 and above shuffled features'",
                whole[TRANSCODERS].kl_below_linear,
                above(0.0),
                {SHUFFLED: whole[SHUFFLED].kl_below_linear, UNTRAINED: control.kl_below_linear if control else missing},
                "nats per token",
            ),
            _claim(
                "transcoders at every layer leave the most probable token as it is, more often than not",
                "share of positions with the same most probable token above .5, and above every baseline's",
                whole[TRANSCODERS].top1,
                above(HALF),
                {
                    **{name: whole[name].top1 for name in (LINEAR, SHUFFLED, MEANS)},
                    UNTRAINED: control.top1 if control else missing,
                },
                "share, 0 to 1",
            ),
        ]
    )


def _claim(
    words: str, prediction: str, score: Score, region: Region, controls: Mapping[str, Score], units: str
) -> Claim:
    found = judged_claim(
        words, SOURCE, prediction, score, region, controls=controls, kind="prediction of ours", family=FAMILY,
        units=units,
    )  # fmt: skip
    return needing(found, UNTRAINED)
