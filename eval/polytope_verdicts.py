"""What the statements of the polytope lens [Black et al. 2022] add to the one rule of `eval.verdicts`, in both wings.

- *Hamming distance tracks the Frobenius distance of the affine maps*: Spearman correlation above
  `FOOTNOTE_CORRELATION`; any correlation above 0 would be met by two distances that merely grow together a little.
- *A density peak between the activation and the origin*: the place of the highest density lies with its whole interval
  before the activation, and density there exceeds that at the nearer and at the farther end by more than `PEAK_MARGIN`.
- A verdict rests on sampled counts (lower bounds) only where they have settled: doubling the samples moves the
  difference of the two arms by less than `SETTLED_SHARE` of that difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eval.claims import Verdict
from eval.scores import Score
from eval.verdicts import above, verdict_on

FOOTNOTE_CORRELATION = 0.5
PEAK_MARGIN = 0.14
"""log2 of the least rise and fall that make a peak: a tenth."""
SETTLED_SHARE = 0.25


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
    """The rule for counts that may be sampled: the verdict above a threshold, and what has not settled (empty: all).

    What a verdict does not rest on need not settle: one that fails at the threshold has no need of its controls.
    """
    region = above(threshold)
    verdict = verdict_on(own.score, region, {name: one.score for name, one in controls.items()})
    if verdict == "cannot tell":
        return verdict, ""
    if not own.settled_against(threshold):
        return "cannot tell", "sampled counts have not settled: more samples may move it over the threshold"
    if verdict == "fails":
        return verdict, ""
    known = {name: one for name, one in controls.items() if one.score.is_defined}
    moving = [name for name, one in known.items() if not own.settled_against(threshold, one)]
    if moving:
        return "cannot tell", f"sampled counts have not settled against {', '.join(moving)}: take more samples"
    return verdict, ""
