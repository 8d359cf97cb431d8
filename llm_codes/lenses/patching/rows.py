"""Results of `circuit patch`."""

from __future__ import annotations

from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score

Values = tuple[tuple[float | None, ...], ...]


@result
class PatchedGrid(Result):
    """One table of one pair. up, across: names of its rows and columns. restored: see `activations` and `paths`,
    [row][column], none where there is no such place; other_pair: the null."""

    part: str
    up: tuple[str, ...]
    across: tuple[str, ...]
    restored: Values
    other_pair: Values


@result
class PatchedFeature(Result):
    """One feature of one pair, set to its activation on the clean prompt. estimate: by the gradient, in the same units
    as restored: shares of the pair's logit difference."""

    pair: int
    layer: int
    position: int
    token: str
    feature: int
    clean: float
    corrupted: float
    estimate: float
    restored: float


@result
class FeatureSets(Result):
    """What features of a pair restore together: the strongest ones, as many drawn at random of those that change, and
    all that change. changed: how many."""

    changed: int
    strongest: float
    random: float
    everything: float


@result
class PatchedPair(Result):
    """What one pair gives: an item of the run. clean, corrupted: logit differences; reason: why it is left out."""

    clean: float
    corrupted: float
    grids: tuple[PatchedGrid, ...] = ()
    features: tuple[PatchedFeature, ...] = ()
    sets: FeatureSets | None = noted(default=None, when_set=True)
    reason: str | None = noted(default=None, when_set=True)


@result
class KindPairs(Result):
    """pairs: kept; left_out: whose logit difference the corruption lowers by too little. clean, corrupted: mean logit
    differences of those kept."""

    kind: str
    pairs: int
    documents: int
    left_out: int
    clean: float | None
    corrupted: float | None


@result
class Patched(Result):
    """One site, head or path over all pairs. 95% intervals over documents.

    part: resid_pre, attn_out, mlp_out, heads or paths. row, column: layer and place, layer and head, sender and
    receiver. restored: share of the logit difference that the clean activation brings back (paths: that corrupting the
    path takes away). other_pair: the same from another pair; above_other_pair: their difference, paired. untrained: the
    same site of the untrained network. p: two-sided, of that difference; holm, fdr: corrected over all of its table.
    beyond: Holm's p below .05, the difference positive, and the interval above the untrained network's; none where
    that cannot be told.
    """

    part: str
    row: str
    column: str
    pairs: int
    restored: Score
    other_pair: Score
    above_other_pair: Score
    untrained: Score
    p: float | None
    holm: float | None
    fdr: float | None
    beyond: bool | None


@result
class FeaturesTogether(Result):
    """What features restore, over all pairs: the strongest ones of each together, as many at random, all that change;
    share: of the features that change, which the strongest are. sign, rank, slope: of single features, measured against
    estimated."""

    count: int
    share: float
    strongest: Score
    random: Score
    everything: Score
    sign: Score
    rank: Score
    slope: Score


@result
class PatchingResults(Result):
    """`results.json` of `circuit patch`."""

    table = "patched"
    columns = ("part", "row", "column", "pairs", "restored", "other_pair", "untrained", "holm", "beyond")

    kinds: tuple[KindPairs, ...]
    places: tuple[str, ...]
    patched: tuple[Patched, ...]
    features: FeaturesTogether | None
    features_reason: str | None
    strongest: tuple[PatchedFeature, ...]
    untrained_pairs: int
