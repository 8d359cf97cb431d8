"""A source's statement, its prediction, what we measured, and the verdict: the same object in every wing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from eval.results import Result, result
from eval.scores import Score

Verdict = Literal["holds", "holds, and so does its control", "fails", "cannot tell"]
VERDICTS: tuple[Verdict, ...] = ("holds", "holds, and so does its control", "fails", "cannot tell")
Kind = Literal["statement of a source", "prediction of ours", "theorem", "self-test"]
KINDS: tuple[Kind, ...] = ("statement of a source", "prediction of ours", "theorem", "self-test")
COUNTED: tuple[Kind, ...] = ("statement of a source", "prediction of ours")
"""Kinds that a tally counts: an identity that must hold, or a check of our own tools, says nothing about a source."""


@result
class Claim(Result):
    """One statement, put to the test.

    claim: the statement, in one sentence.
    source: paper and place, e.g. `"MK section 2, Fig. 7a"`.
    prediction: the estimand, and where it would lie if the statement were true: a number or a direction; units: its
        own, those of `measured`, its interval, its controls and the margin.
    measured: what was seen (`None` where it could not be measured; then `note` says why).
    verdict: `holds`, `holds, and so does its control`, `fails` or `cannot tell`: by the rules of `eval.verdicts`,
        after the correction for its family.
    interval: 95% interval of `measured`; standard_error: where that is the natural error; seeds/n: sample behind it.
    tolerance: how far from the prediction still counts as holding, in the units of `measured`.
    kind: who says so. A `statement of a source` stands there in these words or numbers; a `prediction of ours` follows
        from a reading of ours; a `theorem` must hold (data processing, an exact law); a `self-test` checks our tools.
    controls: the same number measured on what the statement is not about (an untrained network, noise, shuffled data).
    family: claims tested side by side, whose errors are held down together; p: of the decision, two-sided;
    uncorrected: the verdict before that correction.
    """

    claim: str
    source: str
    prediction: str
    measured: float | None
    verdict: Verdict
    interval: tuple[float, float] | None = None
    standard_error: float | None = None
    tolerance: float | None = None
    seeds: int | None = None
    n: int | None = None
    note: str = ""
    kind: Kind = "statement of a source"
    controls: Mapping[str, Score] | None = None
    family: str = ""
    p: float | None = None
    uncorrected: Verdict | None = None
    units: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"expected a verdict of {VERDICTS}, got {self.verdict!r}")
        if self.kind not in KINDS:
            raise ValueError(f"expected a kind of {KINDS}, got {self.kind!r}")
        if self.measured is None and not self.note:
            raise ValueError(f"claim {self.claim!r} has no measured value; say why in `note`")

    as_json = Result.to_json


def needing(claim: Claim, control: str) -> Claim:
    """The claim, which cannot hold where this one of its controls was not measured."""
    one = (claim.controls or {}).get(control)
    if claim.verdict != "holds" or (one is not None and one.is_defined):
        return claim
    note = "; ".join(part for part in (claim.note, f"{control}: not measured") if part)
    return dataclasses.replace(claim, verdict="cannot tell", note=note)


def tally(claims: Sequence[Claim]) -> str:
    """`11 hold, 2 fail, 1 cannot tell` in words; what is no statement of a source or of ours stands apart."""
    counted = [claim for claim in claims if claim.kind in COUNTED]
    counts = {verdict: sum(claim.verdict == verdict for claim in counted) for verdict in VERDICTS}
    also = counts["holds, and so does its control"]
    beside = f" {also} hold, and so does their control," if also else ""
    words = f"{counts['holds']} hold,{beside} {counts['fails']} fail, {counts['cannot tell']} cannot tell"
    apart = [claim for claim in claims if claim.kind not in COUNTED]
    if not apart:
        return words
    passed = sum(claim.verdict == "holds" for claim in apart)
    return f"{words} (apart: {passed} of {len(apart)} theorems and self-tests pass)"


def claims_rows(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """Rows for a table: failed and undecided claims stand in the same type as those that hold."""
    rows = []
    for claim in claims:
        rows.append(
            {
                "claim": claim.claim,
                "source": claim.source,
                "prediction": claim.prediction,
                "measured": measured_text(claim),
                "controls": controls_text(claim.controls) if claim.controls else "",
                "verdict": claim.verdict,
                "before correction": claim.uncorrected or claim.verdict,
                "kind": claim.kind,
                "note": claim.note,
            }
        )
    return rows


def measured_text(claim: Claim) -> str:
    """The number with its interval: `0.5 [0.4, 0.6]`, `3 (exact)`, or `-`."""
    if claim.measured is None:
        return "-"
    value = f"{claim.measured:.4g}"
    if claim.interval is not None and claim.interval[0] == claim.interval[1] == claim.measured:
        return f"{value} (exact)"
    if claim.interval is not None:
        return f"{value} [{claim.interval[0]:.3g}, {claim.interval[1]:.3g}]"
    return value if claim.standard_error is None else f"{value} +- {claim.standard_error:.2g}"


def controls_text(controls: Mapping[str, Score]) -> str:
    """The controls' values: `matched noise 0.5 [0.25, 0.75]; init none`."""
    return "; ".join(f"{name} {one if one.is_defined else 'none'}" for name, one in controls.items())


def claims_in(results: Any) -> Iterator[Claim]:
    """Every claim in the results of a run, at any depth and under any key: a report holds those of its chapters."""
    if isinstance(results, dict):
        if CLAIM_KEYS <= results.keys():
            yield Claim.from_json({key: value for key, value in results.items() if key in FIELDS})
        else:
            for value in results.values():
                yield from claims_in(value)
    elif isinstance(results, list):
        for value in results:
            yield from claims_in(value)


CLAIM_KEYS = {"claim", "source", "prediction", "measured", "verdict", "kind"}
"""What only a claim has; `predictions`, the short form of some results, has no kind."""
FIELDS = {field.name for field in dataclasses.fields(Claim)}
"""A claim may stand in a row with more: the length of its explanations."""
