"""The pairs together: means with intervals over documents, their null, corrections, and the untrained network beside.

What counts as a finding of a site is decided here: Holm's correction over all entries of its table, of the paired
difference to the null, and an interval that lies above the untrained network's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from eval.measures.graphs.agreement import agreement
from eval.measures.statistics.resampling import benjamini_hochberg, bootstrap_ratio, holm
from eval.scores import Score
from eval.verdicts import LEVEL, above, p_value
from llm_codes.lenses.patching.activations import SITES
from llm_codes.lenses.patching.pairs import Pair
from llm_codes.lenses.patching.rows import (
    FeaturesTogether,
    KindPairs,
    Patched,
    PatchedPair,
    PatchingResults,
    Values,
)

STRONGEST = 200  # single features kept in the results


def results_together(
    found: Sequence[PatchedPair],
    beside: Sequence[PatchedPair],
    pairs: Sequence[Pair],
    places: Sequence[str],
    count: int,
    reason: str | None,
    seed: int = 0,
) -> PatchingResults:
    """Every table over all pairs. beside: the untrained network's, empty without it; reason: why features are left
    out, none where they are not."""
    documents = np.array([pair.document for pair in pairs])
    patched = corrected_rows(patched_rows(found, beside, documents, seed))
    features = None if reason else _features(found, documents, count, seed)
    single = sorted((row for one in found for row in one.features), key=lambda row: -abs(row.restored))
    return PatchingResults(
        _kinds(found, pairs),
        tuple(places),
        tuple(patched),
        features,
        reason,
        tuple(single[:STRONGEST]),
        sum(one.reason is None for one in beside),
    )


def patched_rows(
    found: Sequence[PatchedPair], beside: Sequence[PatchedPair], documents: np.ndarray, seed: int = 0
) -> list[Patched]:
    """One row for each entry of each table that any pair has, not corrected yet."""
    kept = [number for number, one in enumerate(found) if one.reason is None]
    first = found[kept[0]]
    out = []
    for table, grid in enumerate(first.grids):
        own = _stacked([found[n].grids[table].restored for n in kept])
        null = _stacked([found[n].grids[table].other_pair for n in kept])
        others = [number for number, one in enumerate(beside) if one.reason is None]
        fresh = _stacked([beside[n].grids[table].restored for n in others]) if others else None
        for row, name in enumerate(grid.up):
            for column, other in enumerate(grid.across):
                values = own[:, row, column]
                if not np.isfinite(values).any():
                    continue
                difference = _mean(values - null[:, row, column], documents[kept], seed, "no pair of another document")
                untrained = (
                    Score.undefined("not measured")
                    if fresh is None
                    else _mean(fresh[:, row, column], documents[others], seed, "no pair moves it")
                )
                out.append(
                    Patched(
                        grid.part,
                        name,
                        other,
                        int(np.isfinite(values).sum()),
                        _mean(values, documents[kept], seed, ""),
                        _mean(null[:, row, column], documents[kept], seed, "no pair of another document"),
                        difference,
                        untrained,
                        p_value(difference, above(0.0)),
                        None,
                        None,
                        None,
                    )
                )
    return out


def corrected_rows(rows: Sequence[Patched]) -> list[Patched]:
    """The rows with their p corrected within each table: the three kinds of site together, heads, paths."""
    out: list[Patched] = []
    for _, group in groupby(rows, key=lambda row: "sites" if row.part in SITES else row.part):
        own = list(group)
        p = np.array([np.nan if row.p is None else row.p for row in own])
        for row, family_wise, false_share in zip(own, holm(p), benjamini_hochberg(p), strict=True):
            if row.p is None:
                out.append(row)
                continue
            decided = replace(row, holm=float(family_wise), fdr=float(false_share))
            out.append(replace(decided, beyond=_beyond(decided)))
    return out


def _beyond(row: Patched) -> bool | None:
    """Whether the site restores more than another pair's activation and than the untrained network's."""
    assert row.holm is not None
    if row.holm > LEVEL or (row.above_other_pair.value or 0.0) <= 0:
        return False
    if row.restored.low is None or row.untrained.high is None:
        return None
    return row.restored.low > row.untrained.high


def _stacked(tables: Sequence[Values]) -> np.ndarray:
    """[pair, row, column], NaN where a pair has no value."""
    return np.array([[[np.nan if v is None else v for v in row] for row in table] for table in tables], dtype=float)


def _mean(values: np.ndarray, documents: np.ndarray, seed: int, missing: str) -> Score:
    known = np.isfinite(values)
    if not known.any():
        return Score.undefined(missing)
    place = np.unique(documents[known], return_inverse=True)[1]
    return bootstrap_ratio(np.bincount(place, values[known]), np.bincount(place), seed=seed)


def _features(found: Sequence[PatchedPair], documents: np.ndarray, count: int, seed: int) -> FeaturesTogether:
    kept = [(one, document) for one, document in zip(found, documents, strict=True) if one.sets is not None]
    own = np.array([document for _, document in kept])
    sets = [one.sets for one, _ in kept if one.sets is not None]
    rows = [(row, document) for one, document in kept for row in one.features]
    predicted, measured = (np.array([getattr(row, name) for row, _ in rows]) for name in ("estimate", "restored"))
    agrees = agreement(predicted, measured, np.array([document for _, document in rows]), seed=seed)
    best, random, everything = (_mean(np.array([getattr(one, name) for one in sets]), own, seed, "") for name in ORDER)
    share = float(np.mean([len(one.features) / one.sets.changed for one, _ in kept if one.sets and one.sets.changed]))
    return FeaturesTogether(count, share, best, random, everything, agrees.sign, agrees.rank, agrees.slope)


ORDER = ("strongest", "random", "everything")


def _kinds(found: Sequence[PatchedPair], pairs: Sequence[Pair]) -> tuple[KindPairs, ...]:
    out = []
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        own = [(one, pair) for one, pair in zip(found, pairs, strict=True) if pair.kind == kind]
        kept = [(one, pair) for one, pair in own if one.reason is None]
        ends = [[getattr(one, name) for one, _ in kept] for name in ("clean", "corrupted")]
        clean, corrupted = (float(np.mean(values)) if values else None for values in ends)
        n_documents = len({pair.document for _, pair in kept})
        out.append(KindPairs(kind, len(kept), n_documents, len(own) - len(kept), clean, corrupted))
    return tuple(out)
