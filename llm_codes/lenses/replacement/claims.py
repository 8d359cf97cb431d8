"""What replacing says: transcoders keep what the model does, by their features and not only by their budget."""

from __future__ import annotations

from eval.claims import Claim
from eval.verdicts import above, corrected, judged_claim
from llm_codes.lenses.replacement.outputs import LINEAR, MEANS, SHUFFLED, TRANSCODERS, VARIANTS
from llm_codes.lenses.replacement.rows import ReplacementResults

SOURCE = "Dunefsky et al. 2024, section 4; Ameisen et al. 2025, replacement model"
FAMILY = "replacement"
HALF = 0.5


def claims_of(results: ReplacementResults) -> list[Claim]:
    """Two predictions of ours about all layers at once."""
    whole = {name: results.row(name) for name in VARIANTS}
    return corrected(
        [
            judged_claim(
                "transcoders at every layer keep the model's predictions better than linear maps",
                SOURCE,
                "KL of linear maps minus KL of transcoders, nats per token, above 0 and above shuffled features'",
                whole[TRANSCODERS].kl_below_linear,
                above(0.0),
                controls={SHUFFLED: whole[SHUFFLED].kl_below_linear},
                kind="prediction of ours",
                family=FAMILY,
                units="nats per token",
            ),
            judged_claim(
                "transcoders at every layer leave the most probable token as it is, more often than not",
                SOURCE,
                "share of positions with the same most probable token above .5, and above every baseline's",
                whole[TRANSCODERS].top1,
                above(HALF),
                controls={name: whole[name].top1 for name in (LINEAR, SHUFFLED, MEANS)},
                kind="prediction of ours",
                family=FAMILY,
                units="share, 0 to 1",
            ),
        ]
    )
