"""How every statement of every wing is judged: one rule, stated here once.

A prediction is a *region* of the measured number: a side of a threshold (open: touching it decides nothing), or a band
(closed; an equality is the band of an equivalence margin stated beforehand). With its 95% interval a statement

- `fails` where the interval lies wholly outside the region;
- `cannot tell` where it straddles an end of the region, or is undefined;
- `holds` where it lies wholly inside, **and** clear of every control: beyond the highest control's interval on the
  predicted side of a threshold; for a band, with every control's interval outside it;
- `holds, and so does its control` where it lies wholly inside and so does a control as large: what an untrained network
  or noise shows as well says nothing about training. As large: the control's interval reaches the number itself;
- `cannot tell` where it is neither clear of a control nor matched by it (the intervals overlap, and the control's falls
  short of the number), where it is not clear of a control that itself decides nothing, or where the control that the
  statement needs was not measured. So a verdict that more data move passes through `cannot tell`.

Claims of one family are then corrected together (`corrected`): Holm's step-down for statements, the false discovery
rate for screens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from eval.claims import COUNTED, Claim, Kind, Verdict
from eval.measures.statistics.resampling import benjamini_hochberg, holm
from eval.scores import Score

LEVEL = 0.05
Controls = Mapping[str, Score]


@dataclass(frozen=True)
class Region:
    """What is predicted of the number: low to high. An infinite end makes it a side of a threshold."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def is_side(self) -> bool:
        return math.isinf(self.low) or math.isinf(self.high)

    def place(self, score: Score) -> Literal["inside", "outside", "undecided"]:
        """Where the score's interval lies; a score without an interval decides nothing."""
        if score.low is None or score.high is None:
            return "undecided"
        if score.high < self.low or score.low > self.high:
            return "outside"
        if self.is_side:
            return "inside" if self.low < score.low and score.high < self.high else "undecided"
        return "inside" if self.low <= score.low and score.high <= self.high else "undecided"

    def clear_of(self, score: Score, control: Score) -> bool:
        """Does the score's interval lie apart from the control's: beyond it for a side, the control outside a band?"""
        if score.low is None or score.high is None:
            return False
        low, high = ends(control)
        if not self.is_side:
            return low > self.high or high < self.low
        return score.low > high if math.isinf(self.high) else score.high < low

    def as_far(self, score: Score, control: Score) -> bool:
        """Does the control's interval reach the score's number itself, on the predicted side? In a band: always."""
        assert score.value is not None
        low, high = ends(control)
        if not self.is_side:
            return True
        return high >= score.value if math.isinf(self.high) else low <= score.value


def above(threshold: float) -> Region:
    return Region(low=threshold)


def below(threshold: float) -> Region:
    return Region(high=threshold)


def near(target: float, margin: float) -> Region:
    """Equal to the target within the margin, stated beforehand, in the units of the number."""
    return Region(target - margin, target + margin)


def ends(score: Score) -> tuple[float, float]:
    """A defined control's interval; one without an interval stands for its value."""
    assert score.value is not None
    return (score.value if score.low is None else score.low, score.value if score.high is None else score.high)


def difference(first: Score, second: Score) -> Score:
    """first - second of two numbers measured apart, with the interval that theirs imply [Zou & Donner 2008, MOVER]."""
    if first.value is None or second.value is None:
        return Score.undefined(first.reason or second.reason or "one of the two is undefined")
    value, n = first.value - second.value, min(first.n or 0, second.n or 0) or None
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Score(value, n=n, interval_reason=first.interval_reason or second.interval_reason)
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Score(value, value - down, value + up, n)


def verdict_on(score: Score, region: Region, controls: Controls | None = None) -> Verdict:
    """The verdict on one number. controls: `None` where it needs none (a theorem, a self-test, half a statement);
    empty where its control is missing.

    A control that is undefined says nothing; where all are, the control counts as missing.
    """
    place = region.place(score)
    if place != "inside":
        return "fails" if place == "outside" else "cannot tell"
    if controls is None:
        return "holds"
    known = _defined(controls)
    if not known:
        return "cannot tell"
    unclear = [one for one in known if not region.clear_of(score, one)]
    if not unclear:
        return "holds"
    as_large = [one for one in unclear if region.as_far(score, one)]
    if any(region.place(Score(one.value, *ends(one))) == "inside" for one in as_large):
        return "holds, and so does its control"
    return "cannot tell"


def both(*verdicts: Verdict) -> Verdict:
    """The verdict on a statement with several halves: fails where one does, holds where all do."""
    for word in ("fails", "cannot tell", "holds, and so does its control"):
        if word in verdicts:
            return word
    return "holds"


def _defined(controls: Controls | None) -> list[Score]:
    return [one for one in (controls or {}).values() if one.is_defined]


def p_value(
    score: Score, region: Region, controls: Controls | None = None, degrees: float | None = None
) -> float | None:
    """Two-sided p of the decision: of the end of the region that the interval is nearest to, or the worst control.

    From the interval: its half-width on that side is taken as the 97.5% quantile of Student's t with `degrees` degrees
    of freedom times the standard error. Without `degrees` it is an interval that takes the spread of its n groups for
    known (a bootstrap's, short by sqrt((n - 1) / n) besides), and the tail is Student's with n - 1: by normal tails a
    family of 8 means of 12 values cries out in a fifth of all worlds without an effect, by these in .06 (see the
    nulls). Normal where n is not known. `None` without an interval; 0 for an exact number inside the region and clear
    of controls as exact: nothing was drawn that could have come out otherwise.
    """
    if score.value is None or score.low is None or score.high is None:
        return None
    known = _defined(controls)
    exact = all(low == high for low, high in map(ends, (score, *known)))
    if exact and region.place(score) == "inside" and all(region.clear_of(score, one) for one in known):
        return 0.0
    quantile, degrees = _quantile_and_tail(score.n, degrees)
    value, low, high = score.value, score.low, score.high

    def p_of(distance: float, half: float) -> float:
        if half <= 0:
            return 0.0 if distance != 0 else 1.0
        return float(2 * stats.t.sf(abs(distance) / half * quantile, degrees))

    def against(end: float, width: float = 0.0) -> float:
        half = value - low if value > end else high - value
        return p_of(value - end, math.hypot(half, width))

    found = [against(end) for end in (region.low, region.high) if math.isfinite(end)]
    if region.place(score) == "outside":
        return min(found)
    for control in (controls or {}).values():
        if control.value is not None and region.is_side:
            found.append(against(control.value, max(abs(end - control.value) for end in ends(control))))
    return max(found)


def _quantile_and_tail(n: int | None, degrees: float | None) -> tuple[float, float]:
    """Standard errors that half an interval stands for, and the degrees of freedom of their tail."""
    if degrees is not None:
        return float(stats.t.ppf(0.975, degrees)), degrees
    normal = float(stats.norm.ppf(0.975))
    return (normal * math.sqrt((n - 1) / n), n - 1) if n is not None and n > 1 else (normal, math.inf)


def judged_claim(
    claim: str,
    source: str,
    prediction: str,
    score: Score,
    region: Region,
    *,
    controls: Controls | None = None,
    note: str = "",
    degrees: float | None = None,
    kind: Kind = "statement of a source",
    family: str = "",
    over_seeds: bool = False,
    tolerance: float | None = None,
    units: str = "",
) -> Claim:
    """A claim judged by the rule. degrees: of the t interval, where it is one; over_seeds: the score's n counts seeds.
    The other arguments are those of `Claim`. A statement or prediction without controls counts as one whose control was
    not measured; only a theorem and a self-test need none."""
    controls = (controls or {}) if kind in COUNTED else controls
    interval = None if score.low is None or score.high is None else (score.low, score.high)
    reason = score.reason or score.interval_reason
    missing = "no control was measured" if controls is not None and not controls else ""
    notes = [part for part in (note, reason, missing) if part]
    verdict = verdict_on(score, region, controls)
    return Claim(
        claim,
        source,
        prediction,
        score.value,
        verdict,
        interval=interval,
        tolerance=tolerance,
        seeds=score.n if over_seeds else None,
        n=None if over_seeds else score.n,
        note="; ".join(notes),
        kind=kind,
        controls=controls or None,
        family=family,
        units=units,
        p=p_value(score, region, controls if verdict == "holds" else None, degrees),
    )


def corrected(claims: Sequence[Claim], method: Literal["holm", "fdr"] = "holm", level: float = LEVEL) -> list[Claim]:
    """The claims after the correction of each family; a decision that does not survive becomes `cannot tell`.

    Only statements and predictions with a p are corrected, within their `family` (claims without a family stand
    alone). `uncorrected` keeps the verdict before.
    """
    out = list(claims)
    families: dict[str, list[int]] = {}
    for index, claim in enumerate(out):
        if claim.family and claim.kind in COUNTED and claim.p is not None:
            families.setdefault(claim.family, []).append(index)
    adjust = holm if method == "holm" else benjamini_hochberg
    for members in families.values():
        adjusted = adjust(np.array([out[index].p for index in members], dtype=float))
        for index, p in zip(members, adjusted, strict=True):
            verdict = "cannot tell" if p > level else out[index].verdict
            out[index] = replace(out[index], verdict=verdict, uncorrected=out[index].verdict)
    return out
