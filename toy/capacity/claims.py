"""The claims on coding theory, judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from eval.claims import Claim
from eval.experiment import within
from toy.capacity.results import (
    CapacityResult,
    Cascade,
    CompressionRate,
    DepthCurve,
    FiniteWidth,
    NeuronCapacity,
    PowerLawLoss,
)

MK = "Marshall & Kirchner 2023 (MK)"


REFERENCE_RATES = {8.0: 0.159, 16.0: 0.129, 32.0: 0.115}


def judge(found: CapacityResult) -> list[Claim]:
    """Closed forms against the oracle, printed forms against exact ones, cascades against their laws."""
    rows, cascade = found.dropout_capacities, found.cascade
    known = [row for row in found.compression_rates if row.sparsity == 0.9 and row.entropy in REFERENCE_RATES]
    return [
        *[_rate_claim(row) for row in known],
        _oracle_claim(rows),
        _flagged_claim(rows),
        *[_depth_claim(found.depth, bits) for bits in dict.fromkeys(row.bits for row in found.depth)],
        _cascade_claim(cascade, "surviving", "Without re-encoding symbols survive as (1-D)^N"),
        _cascade_claim(cascade, "failed", "With re-encoding messages are lost as the binomial tail says"),
        _width_claim(found.widths),
        *_power_law_claims(found.power_law[-1]),
    ]


def _rate_claim(row: CompressionRate) -> Claim:
    expected = REFERENCE_RATES[row.entropy]
    return Claim(
        claim=f"The compression rate at S=.9 and H={row.entropy:g} bits is {expected}",
        source=f"{MK} eq. 1",
        prediction=str(expected),
        measured=row.rate,
        tolerance=5e-4,
        kind="self-test",
        verdict=within(row.rate, expected, 5e-4),
        note="closed form, no seeds",
    )


def _oracle_claim(rows: Sequence[NeuronCapacity]) -> Claim:
    worst = max(row.difference for row in rows)
    return Claim(
        claim="The closed form of the dropout capacity is exact",
        source="closed form here; oracle Blahut-Arimoto",
        prediction="0 difference in bits",
        measured=worst,
        tolerance=1e-5,
        kind="self-test",
        verdict=within(worst, 0, 1e-5),
        n=len(rows),
        note="largest difference over all C and D; deterministic, no seeds",
    )


def _flagged_claim(rows: Sequence[NeuronCapacity]) -> Claim:
    gaps = [1 - row.exact / row.high for row in rows]
    return Claim(
        claim="One layer of dropout leaves a neuron C(1-D) bits",
        source=f"{MK} Theorem 3 and section 2",
        prediction="capacity/(C(1-D)) = 1",
        measured=1 - max(gaps),
        tolerance=0.01,
        verdict=within(max(gaps), 0, 0.01),
        n=len(rows),
        note=f"smallest ratio; C(1-D), announced erasures, is an upper bound: {min(gaps):.0%} to {max(gaps):.0%} short",
    )


def _depth_claim(rows: Sequence[DepthCurve], bits: int) -> Claim:
    ratios = [
        exact / printed
        for row in rows
        if row.bits == bits
        for exact, printed in zip(row.uncorrected_exact[1:], row.uncorrected[1:], strict=True)
    ]
    return Claim(
        claim=f"Without correction N layers leave a neuron of C={bits} bits C(1-D)^N",
        source=f"{MK} section 2, Fig. 2b",
        prediction="exact capacity/(C(1-D)^N) = 1",
        measured=min(ratios),
        tolerance=0.01,
        verdict=within(min(ratios), 1, 0.01),
        n=len(ratios),
        note="smallest ratio over D and N; exact = dropout capacity at D_N, where erasures look like silence",
    )


def _cascade_claim(cascade: Cascade, name: Literal["surviving", "failed"], claim: str) -> Claim:
    deviation = cascade.surviving_deviation if name == "surviving" else cascade.failed_deviation
    ok = deviation <= 3 and cascade.wrong == 0
    return Claim(
        claim=claim,
        source=f"{MK} Fig. 2b, c; simulation here",
        prediction="largest deviation over depth below 3 standard errors",
        measured=deviation,
        standard_error=1.0,
        tolerance=3.0,
        kind="theorem",
        verdict="holds" if ok else "fails",
        seeds=1,
        n=cascade.trials,
        note=f"m={cascade.width}, k={cascade.message}, D={cascade.dropout:g}; {cascade.wrong} wrong words",
    )


def _width_claim(widths: FiniteWidth) -> Claim:
    narrow = max(i for i, width in enumerate(widths.widths) if width <= 100)
    share = widths.exact[narrow] / (1 - widths.dropout)
    return Claim(
        claim="With correction a layer of 100 neurons already carries C(1-D)",
        source=f"{MK} section 2, Fig. 2c read at finite width",
        prediction="share of m(1-D) at failure rate .01 above .95",
        measured=share,
        tolerance=0.05,
        kind="prediction of ours",
        verdict=within(share, 1, 0.05),
        note=f"m={widths.widths[narrow]}; the rest is the price of a finite width, m^-1/2",
    )


def _power_law_claims(row: PowerLawLoss) -> list[Claim]:
    halved = row.eigenvalues / row.standard_deviations
    return [
        Claim(
            claim=f"The power-law loss is |alpha| m log2(m/e) (m={row.width})",
            source=f"{MK} Theorem 4",
            prediction="printed/exact = 1",
            measured=row.ratio,
            tolerance=0.01,
            verdict=within(row.ratio, 1, 0.01),
            note="for exponents of standard deviations",
        ),
        Claim(
            claim="The power-law loss holds with the fitted eigenvalue exponent",
            source=f"{MK} Theorem 4 applied to eigenspectra",
            prediction="loss for eigenvalues/printed convention = 1",
            measured=halved,
            tolerance=0.01,
            kind="prediction of ours",
            verdict=within(halved, 1, 0.01),
            note="eigenvalues are variances: the loss halves; name the convention",
        ),
    ]
