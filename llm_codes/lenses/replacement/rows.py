"""Results of the replacement model."""

from __future__ import annotations

from eval.claims import Claim
from eval.results import Result, result
from eval.scores import Score

ALL_LAYERS = "all"


@result
class ReplacementRow(Result):
    """One way of replacing MLPs. 95% intervals over documents; predictions of text tokens from text positions.

    layer: the one whose MLP is replaced, or all. ce_delta: nats per token above the model. kl: KL(model || replaced),
    nats per token. top1: share of positions at which both give the same token the highest probability.
    kl_below_linear: KL of the linear maps in the same place less this one, paired by document.
    ce_recovered, logit_difference_recovered: 1 is the model, 0 the same layers at their mean output; the logit
    difference is that of the model's two most probable tokens.
    """

    variant: str
    layer: str
    ce_delta: Score
    kl: Score
    top1: Score
    kl_below_linear: Score
    ce_recovered: Score
    logit_difference_recovered: Score


@result
class ReplacementResults(Result):
    """`results.json` of `sae replacement`.

    ce_model: of the model itself, nats per token. exactness: largest change of a logit where the features that
    are on stay on and every transcoder's error of the model's own pass is added back (the local replacement model).
    fit_tokens: behind maps and means.
    """

    table = "replacements"

    replacements: tuple[ReplacementRow, ...]
    ce_model: Score
    exactness: float
    fit_tokens: int
    claims: tuple[Claim, ...] = ()

    def row(self, variant: str, layer: str = ALL_LAYERS) -> ReplacementRow:
        return next(one for one in self.replacements if (one.variant, one.layer) == (variant, layer))
