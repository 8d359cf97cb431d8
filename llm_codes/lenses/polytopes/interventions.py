"""Setting a cluster's code by hand: does a token then continue like the cluster's tokens?

At the last token of a window the hidden units that set a cluster apart are put on the cluster's side of their
threshold, in every coded MLP and in two ways. *Continued*: on, the unit passes its own, negative, pre-activation on
(times its other branch in a gated MLP); off, it gives 0: the cluster's linear map outside the cluster's region.
*Mirrored*: the pre-activation z becomes -z before the model's own activation, so that the token lies in that region.
Units that are there already stay as they are. The control moves as many units of the same MLP, at random, in the same
way.

Axis glossary: ``item`` sampled tokens, ``arm``: as it is, set and random (continued), set and random (mirrored);
``unit`` hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.measures.clustering.clusters import Clusters
from eval.measures.codes.polytope import SplineCodes
from eval.measures.geometry.forced_codes import KINDS_OF_VALUES, Values, cluster_code
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
    count: int, seed: int = 0, network: str = "trained",
) -> tuple[InterventionRow, ...]:  # fmt: skip
    """Two rows, continued and mirrored, for each of the `count` largest clusters of codes."""
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
        for kind, values in enumerate(KINDS_OF_VALUES):
            flipped = float(np.mean([moved[kind] for _, moved in measured]))
            arms = logits[:, [0, 2 * kind + 1, 2 * kind + 2]]
            of = network, cluster, values, len(code.units)
            rows.append(_row(*of, arms, following, flipped, sample.document[chosen], seed))
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


@dataclass
class _Setter:
    """Hooks that set units by hand at the last token: mirrored where the pre-activations stand, continued after.

    seen: pre-activations by hook; drawn: an order of the units for the control, one for each MLP; moved: how many units
    were moved so far, continued and mirrored.
    """

    wanted: dict[str, tuple[Tensor, Tensor]]
    other: dict[str, str]
    generator: np.random.Generator
    seen: dict[str, Tensor] = field(default_factory=dict)
    drawn: dict[str, np.ndarray] = field(default_factory=dict)
    moved: list[int] = field(default_factory=lambda: [0, 0])

    def keep(self, activation: Tensor, hook: Any, name: str) -> Tensor | None:
        del hook
        z = self.seen[name] = activation[:, -1].clone()
        if name not in self.wanted:
            return None
        self.drawn[name] = self.generator.permutation(z.shape[1])
        own, random = self._units(name, 3)
        self.moved[1] += len(own)
        out = activation.clone()
        out[3, -1, own], out[4, -1, random] = -z[3, own], -z[4, random]
        return out

    def force(self, activation: Tensor, hook: Any, name: str) -> Tensor:
        del hook
        z, out = self.seen[name], activation.clone()
        on = z * self.seen[self.other[name]] if name in self.other else z
        own, random = self._units(name, 1)
        self.moved[0] += len(own)
        for arm, units in ((1, own), (2, random)):
            out[arm, -1, units] = torch.where(z[arm, units] > 0, 0.0, on[arm, units]).to(out)
        return out

    def _units(self, name: str, arm: int) -> tuple[Tensor, Tensor]:
        """Units that have to change sides in an arm, and as many drawn at random."""
        z = self.seen[name]
        units, want = (value.to(z.device) for value in self.wanted[name])
        flips = units[(z[arm, units] > 0) != want]
        return flips, torch.as_tensor(self.drawn[name][: len(flips)], device=z.device)


@torch.no_grad()
def _one(
    model: Model, corpus: Corpus, sample: TokenSample, item: int, span: Sequence[int],
    wanted: dict[str, tuple[Tensor, Tensor]], generator: np.random.Generator,
) -> tuple[Tensor, list[int]]:  # fmt: skip
    """Logits after one token, ``[arm vocabulary]``, and how many units were moved, continued and mirrored."""
    row = int(np.flatnonzero(corpus.window == sample.window[item])[0])
    tokens = torch.as_tensor(corpus.tokens[row, : int(sample.position[item]) + 1].copy()).long()
    setter = _Setter(wanted, {}, generator)
    hooks: list[Hook] = []
    for layer in span:
        pre, post = (resolve_site(model, kind, layer).hook for kind in ("mlp_pre", "mlp_post"))
        if pre in wanted:
            if model.is_gated:
                setter.other[pre] = f"blocks.{layer}.mlp.in.hook_out"
            read = [pre, *([setter.other[pre]] if pre in setter.other else [])]
            hooks += [(name, lambda a, hook, name=name: setter.keep(a, hook, name)) for name in read]
            hooks.append((post, lambda a, hook, name=pre: setter.force(a, hook, name)))
    return last_logits(model, tokens, 5, hooks).float().cpu(), setter.moved


def _row(
    network: str, cluster: int, values: Values, n_bits: int, logits: Tensor, following: np.ndarray, flipped: float,
    document: np.ndarray, seed: int,
) -> InterventionRow:  # fmt: skip
    gain = (logits[:, 1:] - logits[:, :1])[:, :, torch.as_tensor(following)].mean(-1).numpy()
    best = logits.argmax(-1)
    changed = (best[:, 1:] != best[:, :1]).double().mean(0)
    own, random, beyond = (_mean(v, document, seed) for v in (gain[:, 0], gain[:, 1], gain[:, 0] - gain[:, 1]))
    return InterventionRow(
        network,
        cluster,
        values,
        n_bits,
        len(logits),
        flipped,
        own,
        random,
        beyond,
        float(changed[0]),
        float(changed[1]),
    )


def _mean(values: np.ndarray, document: np.ndarray, seed: int) -> Score:
    """Mean over tokens, with an interval over their documents."""
    _, place = np.unique(document, return_inverse=True)
    sizes = np.bincount(place).astype(float)
    return bootstrap_mean(np.bincount(place, values) / sizes, sizes, minimum_groups=MINIMUM_ITEMS, seed=seed)
