"""Is the code smooth along a text? One statement on every depth, judged beside the untrained network."""

from __future__ import annotations

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import below, judged_claim
from llm_codes.lenses.trajectories.rows import SiteTrajectory, Trajectories

SMOOTHER = 0.95
"""Action per variance that counts as smoother than white noise, whose is 1: by 5%, stated beforehand. Networks of fresh
weights lie within a few percent of 1, each on its own side of another's interval over documents."""


def claims(trained: Trajectories, control: Trajectories | None = None) -> list[Claim]:
    """The code moves less from token to token than white noise of its variance, at every depth (residual stream).

    Action per variance, `sum ||dA||^2 / (2 steps tr Cov)`, of the roughest layer: a statement on every layer holds
    where the worst of them does, and needs no correction for their number. [MK Fig. 7c] shows smooth projections of a
    text and states no number; 5% below 1 is our reading. Random weights pass on what the tokens themselves repeat, so
    that only what lies below the untrained network's roughest layer is the work of training.
    """
    kind = "resid_post" if any(row.kind == "resid_post" for row in trained.sites) else trained.sites[0].kind
    roughest = _roughest(trained, kind)
    beside = None if control is None else _roughest(control, kind)
    score = Score.undefined(str(trained.sites[0].action_reason)) if roughest is None else roughest.action_over_trace
    return [
        judged_claim(
            f"the code is smoother along a text than white noise, at every depth ({kind})",
            "MK Fig. 7c read as a number",
            f"action per variance of the roughest layer below {SMOOTHER}, and below the untrained network's",
            score,
            below(SMOOTHER),
            controls={} if beside is None else {"untrained, roughest layer": beside.action_over_trace},
            kind="prediction of ours",
            note="" if roughest is None else f"roughest at {roughest.site}; interval over documents",
            units="action per variance",
        )
    ]


def _roughest(found: Trajectories, kind: str) -> SiteTrajectory | None:
    """The site whose interval reaches highest; `None` where no site has an action."""
    rows = [row for row in found.sites if row.kind == kind and row.action_over_trace.is_defined]
    return max(rows, key=lambda row: _end(row.action_over_trace), default=None)


def _end(score: Score) -> float:
    assert score.value is not None
    return score.value if score.high is None else score.high
