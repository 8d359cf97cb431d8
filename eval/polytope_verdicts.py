"""How the statements of the polytope lens are judged [Black et al. 2022]: the same rules in every wing, stated once.

- A statement about a *trained* network holds where its 95% interval lies beyond the threshold **and** above that of
  the highest control: what an untrained network or noise shows as well says nothing about training.
- *Hamming distance tracks the Frobenius distance of the affine maps*: Spearman correlation above
  `FOOTNOTE_CORRELATION`; any correlation above 0 would be met by two distances that merely grow together a little.
- A statement with two halves holds where both do and fails where either does.
- *A density peak between the activation and the origin*: the place of the highest density lies with its whole interval
  before the activation, and density there exceeds that at the nearer and at the farther end by more than `PEAK_MARGIN`.
- A verdict rests on sampled counts (lower bounds) only where they have settled: doubling the samples moves the
  difference of the two arms by less than `SETTLED_SHARE` of that difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from eval.claims import Verdict, judge_sign
from eval.scores import Score

FOOTNOTE_CORRELATION = 0.5
PEAK_MARGIN = 0.14
"""log2 of the least rise and fall that make a peak: a tenth."""
SETTLED_SHARE = 0.25


def judge_above_controls(score: Score, controls: Mapping[str, Score], threshold: float = 0.0) -> Verdict:
    """Does the trained network's interval lie above `threshold` and above the interval of its highest control?

    `fails` where it lies wholly below the threshold, or wholly below the highest control; `cannot tell` where it
    straddles either, where it is undefined, and where no control is defined. A control without an interval stands for
    its value.
    """
    verdict = judge_sign(score, "above", threshold)
    known = [one for one in controls.values() if one.value is not None]
    if score.low is None or score.high is None or not known:
        return "fails" if verdict == "fails" else "cannot tell"
    ends = [(one.value if one.low is None else one.low, one.value if one.high is None else one.high) for one in known]
    if verdict == "fails" or score.high < max(low for low, _ in ends if low is not None):
        return "fails"
    beyond = score.low > max(high for _, high in ends if high is not None)
    return verdict if beyond else "cannot tell"


def opposite(score: Score) -> Score:
    """The score of the opposite statement: below becomes above."""
    low, high = (None, None) if score.low is None or score.high is None else (-score.high, -score.low)
    return replace(score, value=None if score.value is None else -score.value, low=low, high=high)


def both(*verdicts: Verdict) -> Verdict:
    """The verdict on a statement with several halves."""
    if "fails" in verdicts:
        return "fails"
    return "holds" if all(verdict == "holds" for verdict in verdicts) else "cannot tell"


def controls_text(controls: Mapping[str, Score]) -> str:
    """The controls' values for a note: `matched noise 0.5 [0.25, 0.75]; init none`."""
    return "; ".join(f"{name} {one if one.is_defined else 'none'}" for name, one in controls.items())


@dataclass(frozen=True)
class Counted:
    """A score from counts, and its value from half the samples (the same for exact counts, `None`: none there)."""

    score: Score
    half_samples: float | None

    def settled_against(self, threshold: float, other: Counted | None = None) -> bool:
        """Do the samples suffice to place the score against a threshold, or against another arm counted alike?"""
        known = other is None or (other.score.value is not None and other.half_samples is not None)
        if self.score.value is None or self.half_samples is None or not known:
            return False
        fine, coarse = self.score.value - threshold, self.half_samples - threshold
        if other is not None and other.score.value is not None and other.half_samples is not None:
            fine, coarse = self.score.value - other.score.value, self.half_samples - other.half_samples
        return fine == coarse or abs(fine - coarse) < SETTLED_SHARE * abs(fine)


def judge_counts(own: Counted, controls: Mapping[str, Counted], threshold: float = 0.0) -> tuple[Verdict, str]:
    """`judge_above_controls` for counts that may be sampled: the verdict, and what has not settled (empty: all has).

    What a verdict does not rest on need not settle: one that fails at the threshold has no need of its controls.
    """
    verdict = judge_above_controls(own.score, {name: one.score for name, one in controls.items()}, threshold)
    if verdict == "cannot tell":
        return verdict, ""
    if not own.settled_against(threshold):
        return "cannot tell", "sampled counts have not settled: more samples may move it over the threshold"
    if judge_sign(own.score, "above", threshold) == "fails":
        return verdict, ""
    known = {name: one for name, one in controls.items() if one.score.is_defined}
    moving = [name for name, one in known.items() if not own.settled_against(threshold, one)]
    if moving:
        return "cannot tell", f"sampled counts have not settled against {', '.join(moving)}: take more samples"
    return verdict, ""
