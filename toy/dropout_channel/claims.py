"""The claims on the dropout channel, judged."""

from __future__ import annotations

import math
from typing import Any

from eval.claims import Claim
from eval.experiment import separated, within
from toy.dropout_channel.study import SELF_TEST_NATS

MK = "Marshall & Kirchner 2023 (MK), supplement: dropout channel"


def judge(results: dict[str, Any]) -> list[Claim]:
    """Depth laws, the effect of training with dropout, and the self-tests."""
    curves = results["curves"]
    last = {name: (curve["mean"][-1], curve["standard_error"][-1]) for name, curve in curves.items()}
    trained = last["with dropout"]
    claims = [
        _above(results, "beats the uncorrected law", trained, (results["uncorrected"][-1], 0.0), "k(1-D)^(N+1)"),
        _above(results, "carries more than one trained without", trained, last["without dropout"], "without dropout"),
        _above(results, "carries more than an untrained one", trained, last["untrained"], "untrained"),
        _law_claim(results, "with dropout", "corrected", "k(1-D), flat in depth"),
        _law_claim(results, "without dropout", "uncorrected", "k(1-D)^(N+1)"),
        _law_claim(results, "untrained", "uncorrected", "k(1-D)^(N+1)"),
        _monotone_claim(results),
    ]
    return [*claims, *_self_test_claims(results["self_tests"])]


def _above(
    results: dict[str, Any], words: str, one: tuple[float, float], other: tuple[float, float], name: str
) -> Claim:
    difference, error = one[0] - other[0], math.hypot(one[1], other[1])
    return Claim(
        claim=f"A network trained with dropout {words}",
        source=MK,
        prediction=f"bits at layer {results['layers']} above {other[0]:.3g} ({name})",
        measured=one[0],
        standard_error=error,
        tolerance=3 * error,
        verdict=separated(difference, error),
        seeds=results["seeds"],
        note=f"k={results['bits']}, m={results['width']}, D={results['dropout']:g}; {results['estimator']} estimate",
    )


def _law_claim(results: dict[str, Any], condition: str, law: str, words: str) -> Claim:
    """Does the whole curve follow the law, within .1 k at every depth?"""
    measured, expected = results["curves"][condition]["mean"], results[law]
    worst = max(range(len(measured)), key=lambda i: abs(measured[i] - expected[i]))
    tolerance = 0.1 * results["bits"]
    name = condition if condition == "untrained" else f"trained {condition}"
    return Claim(
        claim=f"Information in a network {name} is {words}",
        source=MK,
        prediction=f"{expected[worst]:.3g} bits at layer {results['depths'][worst]}, where it is farthest off",
        measured=measured[worst],
        standard_error=results["curves"][condition]["standard_error"][worst],
        tolerance=tolerance,
        verdict=within(measured[worst], expected[worst], tolerance),
        seeds=results["seeds"],
        note="the law counts k neurons; the network has more, so early layers may lie above it",
    )


def _monotone_claim(results: dict[str, Any]) -> Claim:
    rises = [
        (b - a) / max(math.hypot(ea, eb), 1e-9)
        for curve in results["curves"].values()
        for a, b, ea, eb in zip(
            curve["mean"], curve["mean"][1:], curve["standard_error"], curve["standard_error"][1:], strict=False
        )
    ]
    return Claim(
        claim="Information never rises with depth (data processing)",
        source="Cover & Thomas 2006, 2.8",
        prediction="largest rise between measured layers below 3 standard errors",
        measured=max(rises),
        tolerance=3.0,
        verdict="holds" if max(rises) < 3 else "fails",
        seeds=results["seeds"],
        n=len(rises),
        note="in standard errors; a decoder bound may rise where the earlier layer is harder to decode",
    )


def _self_test_claims(rows: list[dict[str, Any]]) -> list[Claim]:
    claims = []
    for row in rows:
        tolerance = 0.1 if row["estimator"] in ("decoder", "mine") else 0.2
        claims.append(
            Claim(
                claim=f"The {row['estimator']} estimate finds 2 nats in correlated Gaussians",
                source="self-test, d=3; MINE: Belghazi et al. 2018",
                prediction=f"{SELF_TEST_NATS:g} nats",
                measured=row["nats"],
                standard_error=row["standard_error"],
                tolerance=tolerance,
                verdict=within(row["nats"], SELF_TEST_NATS, tolerance),
                seeds=1,
                note=f"shuffled {row['nats shuffled']:.3f} nats; 3 noiseless bits read as {row['bits of 3']:.2f}",
            )
        )
        if row["nats at scale .001"] is not None:
            change = abs(row["nats"] - row["nats at scale .001"])
            claims.append(
                Claim(
                    claim=f"The {row['estimator']} estimate does not depend on the scale of y",
                    source="self-test, y x .001",
                    prediction="0 nats of change",
                    measured=change,
                    tolerance=0.05,
                    verdict=within(change, 0, 0.05),
                    seeds=1,
                )
            )
    worst = max(rows, key=lambda row: row["nats shuffled"])
    highest = max(row["bits of 3"] for row in rows)
    claims.append(
        Claim(
            claim="No estimator finds information in shuffled pairs",
            source="self-test",
            prediction="below .02 nats",
            measured=worst["nats shuffled"],
            tolerance=0.02,
            verdict=within(worst["nats shuffled"], 0, 0.02),
            seeds=1,
            note=f"largest of {len(rows)} estimators: {worst['estimator']}",
        )
    )
    claims.append(
        Claim(
            claim="No estimate exceeds H(X)",
            source="self-test",
            prediction="at most 3 bits of 3",
            measured=highest,
            tolerance=0.0,
            verdict="holds" if highest <= 3 else "fails",
            seeds=1,
            note=f"estimates are held to H(X); largest raw value {max(row['bits of 3, raw'] for row in rows):.2f}",
        )
    )
    return claims
