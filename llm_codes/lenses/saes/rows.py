"""Results of the dictionaries' room: what training logged, what was saved, quality on held-out text, features."""

from __future__ import annotations

from eval.measures.dictionaries.dictionary_quality import DensityBin
from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score


@result
class TrainedDictionary(Result):
    """One dictionary at the end of its training.

    sae: its name; step, loss, l0, fvu, dead_share, gradient_norm: of the last batch logged; skipped_batches: that were
    not finite. asked_l0: features per token that were asked for (none where a coefficient was). saved_l0, saved_fvu,
    saved_silent_share: of the weights as written, on `saved_n_tokens` of training text. held_out_fvu, ce_delta, kl: of
    the weights as written, on held-out documents, with intervals (`--report-tokens`).
    """

    sae: str
    step: int
    loss: float
    l0: float
    fvu: float | None
    dead_share: float
    gradient_norm: float
    skipped_batches: int
    tokens_per_second: int
    asked_l0: float | None
    saved_l0: float
    saved_fvu: float | None
    saved_silent_share: float
    saved_n_tokens: int
    held_out_fvu: Score
    ce_delta: Score
    kl: Score


@result
class TrainedDictionaries(Result):
    """`results.json` of `sae train`: each dictionary's folder with its specification, and how it ended."""

    table = "last_metrics"
    columns = (
        *("sae", "step", "asked_l0", "saved_l0", "saved_fvu", "saved_silent_share"),
        *("held_out_fvu", "ce_delta", "kl", "skipped_batches"),
    )

    saes: tuple[dict[str, object], ...]
    last_metrics: tuple[TrainedDictionary, ...]


@result
class Context(Result):
    """A place where a feature fires: token texts, which of them fires (`at`), its activation."""

    tokens: tuple[str, ...]
    at: int
    value: float


@result
class FeatureEntry(Result):
    """One feature of a dictionary.

    density: share of tokens it fires on; top: tokens that carry most of it; histogram: its activations in ten equal
    bins from 0 to `largest`; contexts: where it fires most; promotes, demotes: tokens whose logits its vector raises
    and lowers, where it writes to the residual stream.
    """

    feature: int
    density: float
    top: tuple[str, ...]
    histogram: tuple[int, ...]
    largest: float
    contexts: tuple[Context, ...]
    promotes: tuple[str, ...] | None = noted(default=None, when_set=True)
    demotes: tuple[str, ...] | None = noted(default=None, when_set=True)


ANOTHER = "another dictionary"
"""The baseline of a row whose dictionary holds nothing at random: another seed, budget or text."""

UNTRAINED = "untrained model"
"""The baseline of a row whose dictionary is that of the model's untrained copy."""


@result
class BaselineRow(Result):
    """A random baseline beside the dictionary: what it holds at random, its scores, the shares it reaches of theirs.

    training_tokens: that it was trained on, where its folder says (shares compare trainings of one length).
    """

    sae: str
    baseline: str
    l0: Score
    fvu: Score
    ce_delta: Score
    ce_recovered_mean: Score
    kl: Score
    explained_reached: Score
    recovered_reached: Score
    training_tokens: int | None = noted(default=None, when_set=True)


@result
class Stability(Result):
    """Features that a partner of another seed has too (cosine at least .7), and the mean of the best cosines.

    share_random, mean_random: what as many random directions reach.
    """

    partner: str
    share: Score
    mean: Score
    share_random: Score
    mean_random: Score


@result
class Sizes(Result):
    """What else is usual to know of a dictionary, on the same documents (`saebench`).

    squared_error: summed over the width, per token. l1: sum of features. norm, norm_made, norm_ratio: of what was to be
    written, of what was, theirs (made over asked). reconstruction_bias: below 1 where the reconstruction shrinks.
    ce_zero, kl_zero: cross-entropy and KL with the site zeroed. n_tokens: counted; n_predicted: predictions scored.
    """

    squared_error: Score
    l1: Score
    norm: Score
    norm_made: Score
    norm_ratio: Score
    reconstruction_bias: Score
    ce_zero: Score
    kl_zero: Score
    n_tokens: int
    n_predicted: int


@result
class DictionaryEvaluation(Result):
    """Quality of one dictionary on held-out documents; intervals are over documents.

    l0: features active per token. fvu: unexplained variance, sums over tokens (0 is best); fvu_per_token: the same per
    token, then averaged. cosine: of reconstruction and activation. dead_share: features that never fired here.
    ce_original: nats per token; ce_delta: what the reconstruction costs; ce_recovered_zero, _mean: share of the
    ablation's cost that it saves (1 is best). kl: of next-token distributions, nats. sizes: norms, the zeroed site.
    """

    sae: str
    hook: str
    hook_out: str
    l0: Score
    fvu: Score
    fvu_per_token: Score
    cosine: Score
    dead_share: Score
    ce_original: Score
    ce_delta: Score
    ce_recovered_zero: Score
    ce_recovered_mean: Score
    kl: Score
    density: tuple[DensityBin, ...]
    sizes: Sizes | None = noted(default=None, when_set=True)
    features: tuple[FeatureEntry, ...] = ()
    baselines: tuple[BaselineRow, ...] = ()
    stability: Stability | None = noted(default=None, when_set=True)

    def scores(self) -> dict[str, Score]:
        """Every score by name, in the order of the table."""
        found = {name: getattr(self, name) for name in SCORES}
        return {name: score for name, score in found.items() if isinstance(score, Score)}

    def __repr__(self) -> str:
        lines = [f"{self.sae} at {self.hook}" + (f" to {self.hook_out}" if self.hook_out != self.hook else "")]
        lines += [f"  {name:18}{score}" for name, score in self.scores().items()]
        without: dict[str, list[str]] = {}
        for name, score in self.scores().items():
            if score.interval_reason:
                without.setdefault(score.interval_reason, []).append(name)
        return "\n".join([*lines, *(f"  no interval of {', '.join(names)}: {why}" for why, names in without.items())])


SCORES = (
    "l0",
    "fvu",
    "fvu_per_token",
    "cosine",
    "dead_share",
    "ce_original",
    "ce_delta",
    "ce_recovered_zero",
    "ce_recovered_mean",
    "kl",
)
