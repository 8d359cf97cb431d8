"""Results of the replacement model."""

from __future__ import annotations

from eval.claims import Claim
from eval.result_json import noted
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
class UntrainedReplacement(Result):
    """The control: the untrained network with transcoders of its own, trained on an equal budget, all layers at once.

    made_from: of what the results beside it were made, by content. transcoders: hash of the control's own.
    """

    made_from: dict[str, str]
    transcoders: str
    replacements: tuple[ReplacementRow, ...]


@result
class ReplacementResults(Result):
    """`results.json` of `sae replacement`.

    ce_model: of the model itself, nats per token. exactness: largest change of a logit where the features that
    are on stay on and every transcoder's error of the model's own pass is added back (the local replacement model).
    fit_tokens: behind maps and means. untrained: none where neither transcoders nor results of it were at hand.
    """

    table = "replacements"

    replacements: tuple[ReplacementRow, ...]
    ce_model: Score
    exactness: float
    fit_tokens: int
    claims: tuple[Claim, ...] = ()
    untrained: UntrainedReplacement | None = noted(default=None, when_set=True)

    def row(self, variant: str, layer: str = ALL_LAYERS) -> ReplacementRow:
        return next(one for one in self.replacements if (one.variant, one.layer) == (variant, layer))
