"""A source's statement, its prediction, what we measured, and the verdict: the same object in every wing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from eval.scores import Score

Verdict = Literal["holds", "fails", "cannot tell"]
VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "cannot tell")


@dataclass(frozen=True)
class Claim:
    """One statement of a source, put to the test.

    claim: the statement, in one sentence.
    source: paper and place, e.g. `"MK section 2, Fig. 7a"`.
    prediction: what would be seen if it were true, as a number or a direction.
    measured: what was seen (`None` where it could not be measured; then `note` says why).
    verdict: `holds`, `fails` or `cannot tell`.
    interval: 95% interval of `measured`; standard_error: where that is the natural error; seeds/n: sample behind it.
    tolerance: how far from the prediction still counts as holding, in the units of `measured`.
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

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"expected a verdict of {VERDICTS}, got {self.verdict!r}")
        if self.measured is None and not self.note:
            raise ValueError(f"claim {self.claim!r} has no measured value; say why in `note`")

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}


def judge_sign(score: Score, expected: Literal["above", "below"], threshold: float = 0.0) -> Verdict:
    """Does the interval lie wholly on the predicted side of `threshold`?

    `holds` where it does, `fails` where it lies wholly on the other side, `cannot tell` where it straddles the
    threshold or is undefined.
    """
    if score.low is None or score.high is None:
        return "cannot tell"
    above, below = score.low > threshold, score.high < threshold
    if not above and not below:
        return "cannot tell"
    return "holds" if above == (expected == "above") else "fails"


def claims_rows(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """Rows for a table: failed and undecided claims stand in the same type as those that hold."""
    rows = []
    for claim in claims:
        measured = "-" if claim.measured is None else f"{claim.measured:.4g}"
        if claim.interval is not None:
            measured += f" [{claim.interval[0]:.3g}, {claim.interval[1]:.3g}]"
        elif claim.standard_error is not None:
            measured += f" +- {claim.standard_error:.2g}"
        rows.append(
            {
                "claim": claim.claim,
                "source": claim.source,
                "prediction": claim.prediction,
                "measured": measured,
                "verdict": claim.verdict,
                "note": claim.note,
            }
        )
    return rows
