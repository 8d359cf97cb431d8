"""The claims on coding theory, judged by the one rule of `eval.verdicts`.

Closed forms are computed and not sampled, so their intervals are points; only the simulated cascades have a width. The
control of a law about dropout is the same number for a neuron that errs instead of falling silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import above, corrected, judged_claim, near
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
LAW_MARGIN = 0.01
"""How far an exact ratio may lie from 1, stated beforehand: 1%."""
CASCADE_MARGIN = 0.15
"""The same for a simulated ratio, whose own error at the default size is 3% to 7%."""
FAMILY = "coding theory"


def judge(found: CapacityResult) -> list[Claim]:
    """Closed forms against the oracle, printed forms against exact ones, cascades against their laws."""
    rows, cascade = found.dropout_capacities, found.cascade
    known = [row for row in found.compression_rates if row.sparsity == 0.9 and row.entropy in REFERENCE_RATES]
    claims = [
        *[_rate_claim(row) for row in known],
        _oracle_claim(rows),
        *_bound_claims(rows),
        _one_layer_claim(rows),
        *[_depth_claim(found.depth, bits) for bits in dict.fromkeys(row.bits for row in found.depth)],
        _cascade_claim(cascade, "surviving", "Without re-encoding symbols survive as (1-D)^N"),
        _cascade_claim(cascade, "failed", "With re-encoding messages are lost as the binomial tail says"),
        _decoding_claim(cascade),
        _width_claim(found.widths),
        *_power_law_claims(found.power_law[-1]),
    ]
    return corrected(claims)


def _rate_claim(row: CompressionRate) -> Claim:
    expected = REFERENCE_RATES[row.entropy]
    return judged_claim(
        f"The compression rate at S=.9 and H={row.entropy:g} bits is {expected}",
        f"{MK} eq. 1",
        str(expected),
        Score.exact(row.rate),
        near(expected, 5e-4),
        tolerance=5e-4,
        kind="self-test",
        note="closed form, no seeds",
        units="dimensions per feature",
    )


def _oracle_claim(rows: Sequence[NeuronCapacity]) -> Claim:
    worst = max(row.difference for row in rows)
    return judged_claim(
        "The closed form of the dropout capacity is exact",
        "closed form here; oracle Blahut-Arimoto",
        "0 difference in bits",
        Score.exact(worst, len(rows)),
        near(0.0, 1e-5),
        tolerance=1e-5,
        kind="self-test",
        note="largest difference over all C and D; deterministic, no seeds",
        units="bits",
    )


def _bound_claims(rows: Sequence[NeuronCapacity]) -> list[Claim]:
    """Theorem 3 prints two bounds on the capacity; the oracle must lie between them."""
    lower = min(row.blahut_arimoto - row.low for row in rows)
    upper = min(row.high - row.blahut_arimoto for row in rows)
    sides = [("least (1-D) log2(M-1)", "above the lower bound", lower), ("most C(1-D)", "below the upper bound", upper)]
    return [
        judged_claim(
            f"Under dropout a neuron carries at {words} bits",
            f"{MK} Theorem 3",
            f"smallest distance {side} at least 0",
            Score.exact(distance, len(rows)),
            above(-1e-5),
            tolerance=1e-5,
            kind="theorem",
            note="in bits, over all C and D; capacity by Blahut-Arimoto, to 1e-5",
            units="bits",
        )
        for words, side, distance in sides
    ]


def _one_layer_claim(rows: Sequence[NeuronCapacity]) -> Claim:
    ratios = [row.exact / row.high for row in rows]
    errs = min(row.error_channel / row.high for row in rows)
    return judged_claim(
        "One layer of dropout leaves a neuron C(1-D) bits",
        f"{MK} Theorem 3 and section 2",
        "capacity/(C(1-D)) = 1",
        Score.exact(min(ratios), len(rows)),
        near(1.0, LAW_MARGIN),
        tolerance=LAW_MARGIN,
        controls={"errors instead of dropout": Score.exact(errs)},
        family=FAMILY,
        note="smallest ratio; C(1-D), announced erasures, is an upper bound: "
        f"{1 - max(ratios):.0%} to {1 - min(ratios):.0%} short",
        units="ratio",
    )


def _depth_claim(rows: Sequence[DepthCurve], bits: int) -> Claim:
    chosen = [row for row in rows if row.bits == bits]

    def smallest(name: Literal["uncorrected_exact", "error_channel"]) -> Score:
        pairs = [zip(getattr(row, name)[1:], row.uncorrected[1:], strict=True) for row in chosen]
        ratios = [one / printed for pair in pairs for one, printed in pair]
        return Score.exact(min(ratios), len(ratios))

    return judged_claim(
        f"Without correction N layers leave a neuron of C={bits} bits C(1-D)^N",
        f"{MK} section 2, Fig. 2b",
        "exact capacity/(C(1-D)^N) = 1",
        smallest("uncorrected_exact"),
        near(1.0, LAW_MARGIN),
        tolerance=LAW_MARGIN,
        controls={"errors instead of dropout": smallest("error_channel")},
        family=FAMILY,
        note="smallest ratio over D and N; exact = dropout capacity at D_N, where erasures look like silence",
        units="ratio",
    )


def _cascade_claim(cascade: Cascade, name: Literal["surviving", "failed"], claim: str) -> Claim:
    """Simulated over law at the deepest layer; all layers' largest deviation stands beside it."""
    seen, law = (
        (cascade.surviving, cascade.surviving_law) if name == "surviving" else (cascade.failed, cascade.failed_law)
    )
    error = (cascade.surviving_error if name == "surviving" else cascade.failed_error)[-1]
    deviation = cascade.surviving_deviation if name == "surviving" else cascade.failed_deviation
    if law[-1] > 0:
        ratio, half = seen[-1] / law[-1], 1.96 * error / law[-1]
        score = Score(ratio, ratio - half, ratio + half, cascade.trials)
    else:
        score = Score.undefined("the law says that nothing arrives or is lost at this depth", cascade.trials)
    return judged_claim(
        claim,
        f"{MK} Fig. 2b, c; simulation here",
        f"simulated/law at layer {cascade.layers[-1]} = 1",
        score,
        near(1.0, CASCADE_MARGIN),
        tolerance=CASCADE_MARGIN,
        kind="theorem",
        note=f"m={cascade.width}, k={cascade.message}, D={cascade.dropout:g}; "
        f"farthest of all layers {deviation:.2f} standard errors",
        units="ratio",
    )


def _decoding_claim(cascade: Cascade) -> Claim:
    return judged_claim(
        "A message with enough survivors is decoded without error",
        "Reed-Solomon code; simulation here",
        "0 wrong words",
        Score.exact(cascade.wrong, cascade.trials),
        near(0.0, 0.0),
        tolerance=0.0,
        kind="self-test",
        note="words really encoded and decoded, over all layers",
        units="words",
    )


def _width_claim(widths: FiniteWidth) -> Claim:
    narrow = max(i for i, width in enumerate(widths.widths) if width <= 100)
    return judged_claim(
        "With correction a layer of 100 neurons already carries C(1-D)",
        f"{MK} section 2, Fig. 2c read at finite width",
        "share of m(1-D) at failure rate .01 within .05 of 1",
        Score.exact(widths.exact[narrow] / (1 - widths.dropout)),
        near(1.0, 0.05),
        tolerance=0.05,
        kind="prediction of ours",
        controls={"without a code": Score.exact(widths.uncoded[narrow] / (1 - widths.dropout))},
        family=FAMILY,
        note=f"m={widths.widths[narrow]}; the rest is the price of a finite width, m^-1/2",
        units="share, 0 to 1",
    )


def _power_law_claims(row: PowerLawLoss) -> list[Claim]:
    halved = row.eigenvalues / row.standard_deviations
    return [
        judged_claim(
            f"The power-law loss is |alpha| m log2(m/e) (m={row.width})",
            f"{MK} Theorem 4",
            "printed/exact = 1",
            Score.exact(row.ratio),
            near(1.0, LAW_MARGIN),
            tolerance=LAW_MARGIN,
            kind="theorem",
            note="for exponents of standard deviations; the printed form is Stirling's",
            units="ratio",
        ),
        judged_claim(
            "The power-law loss holds with the fitted eigenvalue exponent",
            f"{MK} Theorem 4 applied to eigenspectra",
            "loss for eigenvalues/printed convention = 1",
            Score.exact(halved),
            near(1.0, LAW_MARGIN),
            tolerance=LAW_MARGIN,
            kind="prediction of ours",
            controls={"white code": Score.exact(0.0)},
            family=FAMILY,
            note="eigenvalues are variances: the loss halves; name the convention",
            units="ratio",
        ),
    ]
