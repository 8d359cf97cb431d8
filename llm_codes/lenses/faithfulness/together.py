"""The prompts together: curves with intervals over documents, and how stable the kept sets are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from eval.measures.graphs.faithfulness import faithfulness
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.scores import Score
from llm_codes.lenses.faithfulness.prompts import KINDS, Prompt
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, METRICS, Curve, CurvePoint, PromptCurves, Stability
from llm_codes.lenses.faithfulness.study import COMPLEMENT, KEPT, SHARES


def curves_together(
    found: Sequence[PromptCurves], prompts: Sequence[Prompt], widths: dict[str, int], seed: int = 0
) -> list[Curve]:
    """Every curve over all prompts, and those of features with errors kept by kind. widths: nodes at a place."""
    out = []
    for number, first in enumerate(found[0].curves):
        groups = {ALL_KINDS: list(range(len(prompts)))}
        if first.errors == "stay" and first.ablation == "mean":
            groups |= {kind: [n for n, prompt in enumerate(prompts) if prompt.kind == kind] for kind in KINDS}
        for kind, members in groups.items():
            for metric in METRICS:
                if members and (kind == ALL_KINDS or metric == METRICS[0]):
                    out.append(_curve(found, prompts, members, number, kind, metric, widths, seed))
    return out


def _curve(
    found: Sequence[PromptCurves],
    prompts: Sequence[Prompt],
    members: Sequence[int],
    number: int,
    kind: str,
    metric: str,
    widths: dict[str, int],
    seed: int,
) -> Curve:
    one = found[0].curves[number]
    values = np.array([found[n].curves[number].metric[metric] for n in members])
    whole = np.array([found[n].whole[metric] for n in members])
    shares = np.array(SHARES)
    if one.ranking == COMPLEMENT:  # the share kept of the complement rises from 0
        values, shares = values[:, ::-1], 1 - shares[::-1]
    documents = np.array([prompts[n].document for n in members])
    got = faithfulness(values, whole, shares, documents, seed=seed)
    places = float(np.mean([found[n].places for n in members])) * widths[one.nodes]
    points = tuple(
        CurvePoint(float(share), float(share) * places, score) for share, score in zip(shares, got.curve, strict=True)
    )
    place = (kind, one.nodes, one.errors, one.ablation, one.ranking, metric)
    return Curve(*place, n_prompts=len(members), cpr=got.cpr, cmd=got.cmd, points=points)


def stability_of(found: Sequence[PromptCurves], prompts: Sequence[Prompt], seed: int = 0) -> list[Stability]:
    """Overlap of kept sets by kind of prompt, and over all."""
    out = []
    for kind in (ALL_KINDS, *KINDS):
        members = [n for n, prompt in enumerate(prompts) if kind in (ALL_KINDS, prompt.kind)]
        if not members:
            continue
        documents = np.array([prompts[n].document for n in members])

        def over(one: str, other: str, members: list[int] = members, documents: Any = documents) -> Score:
            shared = [_jaccard(found[n].sets[one], found[n].sets[other]) for n in members]
            return _mean(np.array(shared), documents, seed)

        base = "gradients, mean"
        apart = [{(layer, node) for layer, _, node in found[n].sets[base]} for n in members]
        pairs = [len(a & b) / len(a | b) for a, b in combinations(apart, 2)]
        out.append(
            Stability(
                kind,
                KEPT,
                over(base, "gradients, resample"),
                over(base, "gradients, fewer words before"),
                over(base, "graph"),
                float(np.mean(pairs)) if pairs else None,
            )
        )
    return out


def _jaccard(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    a, b = {tuple(place) for place in one}, {tuple(place) for place in other}
    return len(a & b) / len(a | b)


def _mean(values: np.ndarray, documents: np.ndarray, seed: int) -> Score:
    place = np.unique(documents, return_inverse=True)[1]
    return bootstrap_ratio(np.bincount(place, values), np.bincount(place), seed=seed)
