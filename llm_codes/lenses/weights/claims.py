"""What the two tables say: a fitted connector against products of weights, at equal numbers of edges."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import above, corrected, judged_claim
from llm_codes.lenses.weights.interventions import HELD
from llm_codes.lenses.weights.methods import CONNECTORS, RANDOM
from llm_codes.lenses.weights.rows import WeightAgreement

SOURCE = "FC, connectors; Ameisen et al. 2025, global weights"
FAMILY = "weights between layers"


def claims_of(agreements: Sequence[WeightAgreement]) -> list[Claim]:
    """Does a connector foretell interventions better than as many virtual weights, chosen by co-activation? The control
    is random edges with fitted weights. (That fitted edges predict held-out activations better is so in any network,
    and no claim.)"""
    out = []
    for measured in HELD:
        own = {row.method: row.r2_above_virtual for row in agreements if row.measured == measured}
        out += [_claim(name, measured, own) for name in CONNECTORS if name in own]
    return corrected(out)


def _claim(method: str, measured: str, scores: dict[str, Score]) -> Claim:
    return judged_claim(
        f"a {method} foretells {measured} effects of taking a feature out better than virtual weights",
        SOURCE,
        "share of squared change foretold, less that of weights by co-activation, above 0 and above random edges'",
        scores[method],
        above(0.0),
        controls={RANDOM: scores[RANDOM]},
        kind="prediction of ours",
        family=FAMILY,
        units="share of squared change",
    )
