"""The claims on the dropout channel, judged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from eval.claims import Claim
from eval.experiment import combined, separated, times, within
from toy.dropout_channel.results import DropoutChannelResult, SelfTest
from toy.dropout_channel.study import SELF_TEST_NATS

Law = Literal["corrected", "uncorrected"]
Measured = tuple[float, float | None]
"""A mean with its standard error."""

MK = "Marshall & Kirchner 2023 (MK), supplement: dropout channel"


def judge(found: DropoutChannelResult) -> list[Claim]:
    """Depth laws, the effect of training with dropout, and the self-tests."""
    curves = found.curves
    last = {name: (curve.mean[-1], curve.standard_error[-1]) for name, curve in curves.items()}
    trained = last["with dropout"]
    claims = [
        _above(found, "beats the uncorrected law", trained, (found.uncorrected[-1], 0.0), "k(1-D)^(N+1)"),
        _above(found, "carries more than one trained without", trained, last["without dropout"], "without dropout"),
        _above(found, "carries more than an untrained one", trained, last["untrained"], "untrained"),
        _law_claim(found, "with dropout", "corrected", "k(1-D), flat in depth"),
        _law_claim(found, "without dropout", "uncorrected", "k(1-D)^(N+1)"),
        _law_claim(found, "untrained", "uncorrected", "k(1-D)^(N+1)"),
        _monotone_claim(found),
    ]
    return [*claims, *_self_test_claims(found.self_tests)]


def _above(found: DropoutChannelResult, words: str, one: Measured, other: Measured, name: str) -> Claim:
    difference, error = one[0] - other[0], combined(one[1], other[1])
    return Claim(
        claim=f"A network trained with dropout {words}",
        source=MK,
        prediction=f"bits at layer {found.layers} above {other[0]:.3g} ({name})",
        measured=one[0],
        standard_error=error,
        tolerance=times(3, error),
        verdict=separated(difference, error),
        seeds=found.seeds,
        note=f"k={found.bits}, m={found.width}, D={found.dropout:g}; {found.estimator} estimate",
    )


def _law_claim(
    found: DropoutChannelResult, condition: str, law: Literal["corrected", "uncorrected"], words: str
) -> Claim:
    """Does the whole curve follow the law, within .1 k at every depth?"""
    measured, expected = found.curves[condition].mean, getattr(found, law)
    worst = max(range(len(measured)), key=lambda i: abs(measured[i] - expected[i]))
    tolerance = 0.1 * found.bits
    name = condition if condition == "untrained" else f"trained {condition}"
    return Claim(
        claim=f"Information in a network {name} is {words}",
        source=MK,
        prediction=f"{expected[worst]:.3g} bits at layer {found.depths[worst]}, where it is farthest off",
        measured=measured[worst],
        standard_error=found.curves[condition].standard_error[worst],
        tolerance=tolerance,
        kind="prediction of ours",
        verdict=within(measured[worst], expected[worst], tolerance),
        seeds=found.seeds,
        note="the law counts k neurons; the network has more, so early layers may lie above it",
    )


def _monotone_claim(found: DropoutChannelResult) -> Claim:
    steps = [
        (later - earlier, combined(error, later_error))
        for curve in found.curves.values()
        for (earlier, error), (later, later_error) in pairwise(zip(curve.mean, curve.standard_error, strict=True))
    ]
    rises = [rise / max(error, 1e-9) for rise, error in steps if error is not None]
    alone = "one network says nothing about the spread"
    return Claim(
        claim="Information never rises with depth (data processing)",
        source="Cover & Thomas 2006, 2.8",
        prediction="largest rise between measured layers below 3 standard errors",
        measured=max(rises, default=None),
        tolerance=3.0,
        kind="theorem",
        verdict="cannot tell" if not rises else "holds" if max(rises) < 3 else "fails",
        seeds=found.seeds,
        n=len(steps),
        note="in standard errors; a decoder bound may rise where the earlier layer is harder to decode"
        if rises
        else alone,
    )


def _self_test_claims(rows: Sequence[SelfTest]) -> list[Claim]:
    claims = []
    for row in rows:
        tolerance = 0.1 if row.estimator in ("decoder", "mine") else 0.2
        claims.append(
            Claim(
                claim=f"The {row.estimator} estimate finds 2 nats in correlated Gaussians",
                source="self-test, d=3; MINE: Belghazi et al. 2018",
                prediction=f"{SELF_TEST_NATS:g} nats",
                measured=row.nats.value,
                standard_error=row.standard_error,
                tolerance=tolerance,
                kind="self-test",
                verdict=within(row.nats.value or 0.0, SELF_TEST_NATS, tolerance),
                seeds=1,
                note=f"shuffled {row.nats_shuffled:.3f} nats; 3 noiseless bits read as {row.bits or 0.0:.2f}",
            )
        )
        if row.nats_scaled is not None:
            change = abs((row.nats.value or 0.0) - row.nats_scaled)
            claims.append(
                Claim(
                    claim=f"The {row.estimator} estimate does not depend on the scale of y",
                    source="self-test, y x .001",
                    prediction="0 nats of change",
                    measured=change,
                    tolerance=0.05,
                    kind="self-test",
                    verdict=within(change, 0, 0.05),
                    seeds=1,
                )
            )
    worst = max(rows, key=lambda row: row.nats_shuffled)
    claims.append(
        Claim(
            claim="No estimator finds information in shuffled pairs",
            source="self-test",
            prediction="below .02 nats",
            measured=worst.nats_shuffled,
            tolerance=0.02,
            kind="self-test",
            verdict=within(worst.nats_shuffled, 0, 0.02),
            seeds=1,
            note=f"largest of {len(rows)} estimators: {worst.estimator}",
        )
    )
    return [*claims, _entropy_claim(rows)]


def _entropy_claim(rows: Sequence[SelfTest]) -> Claim:
    """Before anything is held to a range: the estimate farthest above H(X), in its own standard errors."""
    known = [(row.bits_raw, row.bits_standard_error or 0.0, row.estimator) for row in rows if row.bits_raw is not None]
    raw, error, name = max(known, key=lambda one: one[0] - 3 * one[1])
    return Claim(
        claim="No estimate exceeds H(X)",
        source="self-test, before estimates are held to [0, H(X)]",
        prediction="at most 3 bits of 3, by 3 standard errors",
        measured=raw,
        standard_error=error,
        tolerance=3 * error,
        kind="self-test",
        verdict="holds" if raw - 3 * error <= 3 else "fails",
        seeds=1,
        note=f"farthest of {len(known)} estimators: {name}, as estimated",
    )
