"""The claims on the dropout channel, judged by the one rule of `eval.verdicts`.

Information is compared network by network (networks of one number start from the same weights) and averaged. The
controls are the networks trained without dropout and the untrained ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from eval.claims import Claim
from eval.experiment import claim_over_seeds, mean_score
from eval.scores import Score
from eval.verdicts import Controls, above, below, corrected, judged_claim, near
from toy.dropout_channel.results import DropoutChannelResult, SelfTest
from toy.dropout_channel.study import SELF_TEST_NATS

MK = "Marshall & Kirchner 2023 (MK), supplement: dropout channel"
FAMILY = "dropout channel"
LAW_SHARE = 0.1
"""How far a curve may lie from its law, as a share of the message's k bits."""
RISE_SHARE = 0.05
"""How much a decoder bound may rise with depth and still count as not rising, as a share of the k bits."""


def judge(found: DropoutChannelResult) -> list[Claim]:
    """Depth laws, the effect of training with dropout, and the self-tests."""
    claims = [
        _beats_law_claim(found),
        _more_claim(found, "one trained without", "without dropout", {"untrained": "untrained"}),
        _more_claim(found, "an untrained one", "untrained", {"trained without": "without dropout"}),
        _law_claim(found, "without dropout"),
        _law_claim(found, "untrained"),
        _monotone_claim(found),
    ]
    return corrected([*claims, *_self_test_claims(found.self_tests)])


def _setting(found: DropoutChannelResult) -> str:
    return f"k={found.bits}, m={found.width}, D={found.dropout:g}; {found.estimator} estimate"


def _at(found: DropoutChannelResult, condition: str, index: int) -> list[float]:
    return [values[index] for values in found.curves[condition].by_seed]


def _less(found: DropoutChannelResult, first: str, second: str) -> Score:
    """Bits at the last layer, one condition less another, network by network."""
    return mean_score([a - b for a, b in zip(_at(found, first, -1), _at(found, second, -1), strict=True)])


def _beats_law_claim(found: DropoutChannelResult) -> Claim:
    law = found.uncorrected[-1]
    return claim_over_seeds(
        "A network trained with dropout beats the uncorrected law",
        MK,
        f"bits at layer {found.layers} above {law:.3g} (k(1-D)^(N+1))",
        mean_score(_at(found, "with dropout", -1)),
        above(law),
        controls={name: mean_score(_at(found, name, -1)) for name in ("without dropout", "untrained")},
        family=FAMILY,
        note=_setting(found),
        units="bits",
    )


def _more_claim(found: DropoutChannelResult, words: str, other: str, controls: dict[str, str]) -> Claim:
    return claim_over_seeds(
        f"A network trained with dropout carries more than {words}",
        MK,
        f"bits at layer {found.layers} less those {other} above 0",
        _less(found, "with dropout", other),
        above(0.0),
        controls={f"{name} less {other}": _less(found, condition, other) for name, condition in controls.items()},
        family=FAMILY,
        note=_setting(found),
        units="bits",
    )


def _law_claim(found: DropoutChannelResult, condition: str) -> Claim:
    """Does the whole curve follow the law, within a share of k at every depth?"""
    measured, expected = found.curves[condition].mean, found.uncorrected
    worst = max(range(len(measured)), key=lambda i: abs(measured[i] - expected[i]))
    margin = LAW_SHARE * found.bits
    name = condition if condition == "untrained" else f"trained {condition}"
    controls: Controls = {"with dropout": mean_score(_at(found, "with dropout", worst))}
    return claim_over_seeds(
        f"Information in a network {name} is k(1-D)^(N+1)",
        MK,
        f"{expected[worst]:.3g} bits at layer {found.depths[worst]}, where it is farthest off",
        mean_score(_at(found, condition, worst)),
        near(expected[worst], margin),
        controls=controls,
        tolerance=margin,
        kind="prediction of ours",
        family=FAMILY,
        note="the law counts k neurons; the network has more, so early layers may lie above it",
        units="bits",
    )


def _monotone_claim(found: DropoutChannelResult) -> Claim:
    margin = RISE_SHARE * found.bits
    rises = [
        mean_score([late[later] - late[earlier] for late in curve.by_seed])
        for curve in found.curves.values()
        for earlier, later in pairwise(range(len(found.depths)))
    ]
    return claim_over_seeds(
        "Information never rises with depth (data processing)",
        "Cover & Thomas 2006, 2.8",
        f"largest rise between measured layers below {margin:.2g} bits",
        max(rises, key=lambda score: score.value or 0.0),
        below(margin),
        tolerance=margin,
        kind="theorem",
        note=f"of {len(rises)} steps; a decoder bound may rise where the earlier layer is harder to decode",
        units="bits",
    )


def _around(value: float, standard_error: float) -> Score:
    """An estimate with its own normal interval over the samples."""
    return Score(value, value - 1.96 * standard_error, value + 1.96 * standard_error)


def _self_test_claims(rows: Sequence[SelfTest]) -> list[Claim]:
    claims = []
    for row in rows:
        margin = 0.1 if row.estimator in ("decoder", "mine") else 0.2
        value = row.nats.value
        claims.append(
            judged_claim(
                f"The {row.estimator} estimate finds 2 nats in correlated Gaussians",
                "self-test, d=3; MINE: Belghazi et al. 2018",
                f"{SELF_TEST_NATS:g} nats",
                row.nats if value is None else _around(value, row.standard_error),
                near(SELF_TEST_NATS, margin),
                tolerance=margin,
                kind="self-test",
                note=f"shuffled {row.nats_shuffled:.3f} nats; 3 noiseless bits read as "
                + ("undefined" if row.bits is None else f"{row.bits:.2f}"),
                units="nats",
            )
        )
        if row.nats_scaled is not None and value is not None:
            claims.append(
                judged_claim(
                    f"The {row.estimator} estimate does not depend on the scale of y",
                    "self-test, y x .001",
                    "0 nats of change",
                    Score.exact(abs(value - row.nats_scaled)),
                    near(0.0, 0.05),
                    tolerance=0.05,
                    kind="self-test",
                    note="the same pairs and the same start, so the change is exact",
                    units="nats",
                )
            )
    return [*claims, _shuffled_claim(rows), _entropy_claim(rows)]


def _shuffled_claim(rows: Sequence[SelfTest]) -> Claim:
    worst = max(rows, key=lambda row: row.nats_shuffled)
    return judged_claim(
        "No estimator finds information in shuffled pairs",
        "self-test",
        "below .02 nats",
        Score.exact(worst.nats_shuffled),
        below(0.02),
        tolerance=0.02,
        kind="self-test",
        note=f"largest of {len(rows)} estimators: {worst.estimator}; of these pairs, as estimated",
        units="nats",
    )


def _entropy_claim(rows: Sequence[SelfTest]) -> Claim:
    """Before anything is held to a range: the estimate farthest above H(X), in its own standard errors."""
    known = [(row.bits_raw, row.bits_standard_error or 0.0, row.estimator) for row in rows if row.bits_raw is not None]
    raw, error, name = max(known, key=lambda one: one[0] - 3 * one[1])
    return judged_claim(
        "No estimate exceeds H(X)",
        "self-test, before estimates are held to [0, H(X)]",
        "at most 3 bits of 3, within .05",
        _around(raw, error),
        below(3.05),
        tolerance=0.05,
        kind="self-test",
        note=f"farthest of {len(known)} estimators: {name}, as estimated",
        units="bits",
    )
