"""Setting a cluster's code by hand: does a token then continue like the cluster's tokens?

At the last token of a window the hidden units that set a cluster apart are put on the cluster's side of their
threshold, in every coded MLP: on, the unit passes its pre-activation on (times its other branch in a gated MLP); off,
it gives 0. Units that are there already stay as they are. The control moves as many units of the same MLP, at random.

Axis glossary: ``item`` sampled tokens, ``arm``: as it is, set, random; ``unit`` hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.measures.clustering.clusters import Clusters
from eval.measures.codes.polytope import SplineCodes
from eval.measures.geometry.forced_codes import cluster_code
from eval.measures.statistics.resampling import bootstrap_mean
from eval.scores import Score
from llm_codes.corpus import Corpus
from llm_codes.lenses.polytopes.panel_rows import InterventionRow
from llm_codes.lenses.polytopes.rays import last_logits
from llm_codes.lenses.polytopes.samples import TokenSample
from llm_codes.models import Hook, Model
from llm_codes.sites import resolve_site

UNITS = 64
ITEMS = 16
MINIMUM_ITEMS = 8


def cluster_interventions(
    model: Model, corpus: Corpus, sample: TokenSample, codes: SplineCodes, found: Clusters, span: Sequence[int], *,
    count: int, seed: int = 0,
) -> tuple[InterventionRow, ...]:  # fmt: skip
    """One row for each of the `count` largest clusters of codes."""
    bits = codes.bits()
    rows = []
    for cluster in range(min(count, found.n_clusters)):
        inside = found.labels == cluster
        following = sample.next_token[inside]
        following = following[following >= 0]
        if inside.all() or not len(following):
            continue
        code = cluster_code(bits, inside, UNITS)
        wanted = _by_layer(codes, code.units, code.pieces)
        generator = np.random.default_rng(seed)
        outside = np.flatnonzero(~inside)
        chosen = np.sort(generator.permutation(outside)[:ITEMS])
        measured = [_one(model, corpus, sample, int(item), span, wanted, generator) for item in chosen]
        logits = torch.stack([one for one, _ in measured]).double().log_softmax(-1)
        flipped = float(np.mean([moved for _, moved in measured]))
        rows.append(_row(cluster, len(code.units), logits, following, flipped, sample.document[chosen], seed))
    return tuple(rows)


def _by_layer(codes: SplineCodes, units: np.ndarray, pieces: np.ndarray) -> dict[str, tuple[Tensor, Tensor]]:
    """Units and their wanted bit, by hook of the pre-activations."""
    out: dict[str, tuple[list[int], list[int]]] = {}
    for bit, piece in zip(units, pieces, strict=True):
        place = codes.map.place(int(bit))
        at = out.setdefault(place.layer, ([], []))
        at[0].append(place.unit)
        at[1].append(int(piece))
    return {layer: (torch.tensor(at), torch.tensor(bit, dtype=torch.bool)) for layer, (at, bit) in out.items()}


@torch.no_grad()
def _one(
    model: Model, corpus: Corpus, sample: TokenSample, item: int, span: Sequence[int],
    wanted: dict[str, tuple[Tensor, Tensor]], generator: np.random.Generator,
) -> tuple[Tensor, int]:  # fmt: skip
    """Logits after one token, ``[arm vocabulary]``, and how many units were moved."""
    row = int(np.flatnonzero(corpus.window == sample.window[item])[0])
    tokens = torch.as_tensor(corpus.tokens[row, : int(sample.position[item]) + 1].copy()).long()
    seen: dict[str, Tensor] = {}
    other: dict[str, str] = {}
    moved: list[int] = []

    def keep(activation: Tensor, hook: Any, name: str) -> None:
        del hook
        seen[name] = activation[:, -1]

    def force(activation: Tensor, hook: Any, name: str) -> Tensor:
        del hook
        z, out = seen[name], activation.clone()
        on = z * seen[other[name]] if name in other else z
        units, want = (value.to(z.device) for value in wanted[name])
        flips = units[(z[1, units] > 0) != want]
        drawn = torch.as_tensor(generator.permutation(z.shape[1])[: len(flips)], device=z.device)
        out[1, -1, flips] = torch.where(z[1, flips] > 0, 0.0, on[1, flips]).to(out)
        out[2, -1, drawn] = torch.where(z[2, drawn] > 0, 0.0, on[2, drawn]).to(out)
        moved.append(len(flips))
        return out

    hooks: list[Hook] = []
    for layer in span:
        pre, post = (resolve_site(model, kind, layer).hook for kind in ("mlp_pre", "mlp_post"))
        if pre in wanted:
            if model.is_gated:
                other[pre] = f"blocks.{layer}.mlp.in.hook_out"
            read = [pre, *([other[pre]] if pre in other else [])]
            hooks += [(name, lambda a, hook, name=name: keep(a, hook, name)) for name in read]
            hooks.append((post, lambda a, hook, name=pre: force(a, hook, name)))
    return last_logits(model, tokens, 3, hooks).float().cpu(), sum(moved)


def _row(
    cluster: int, n_bits: int, logits: Tensor, following: np.ndarray, flipped: float, document: np.ndarray, seed: int
) -> InterventionRow:
    gain = (logits[:, 1:] - logits[:, :1])[:, :, torch.as_tensor(following)].mean(-1).numpy()
    best = logits.argmax(-1)
    changed = (best[:, 1:] != best[:, :1]).double().mean(0)
    own, random, beyond = (_mean(v, document, seed) for v in (gain[:, 0], gain[:, 1], gain[:, 0] - gain[:, 1]))
    return InterventionRow(
        cluster, n_bits, len(logits), flipped, own, random, beyond, float(changed[0]), float(changed[1])
    )


def _mean(values: np.ndarray, document: np.ndarray, seed: int) -> Score:
    """Mean over tokens, with an interval over their documents."""
    _, place = np.unique(document, return_inverse=True)
    sizes = np.bincount(place).astype(float)
    return bootstrap_mean(np.bincount(place, values) / sizes, sizes, minimum_groups=MINIMUM_ITEMS, seed=seed)
