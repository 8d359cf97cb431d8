"""Clusters of spline codes as units: how far does a token's code agree with a cluster's?

A layer's hard code has one bit per MLP hidden unit (pre-activation > 0). Codes of tokens of the explain documents are
clustered (`eval.measures.clustering.clusters`), and each cluster is represented by its majority code c in
{-1, 1}^width. With s the sign code of a token, the unit's activation is

    relu(agreement - mean agreement),  agreement = s . c / width in [-1, 1],

so that it is 0 for a token whose code is no closer to the cluster than an average token of the explain documents. The
largest clusters come first. A layer may have fewer clusters than were asked for, or none: then it has fewer units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.explanation.units import Unit
from eval.measures.clustering.clusters import cluster_codes
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes
from eval.progress import say
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.explain.units import Readout
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site

POSITIONS_PER_WINDOW = 6  # as in [PL]
MINIMUM_CLUSTER = 20


class _Preactivations:
    """A consumer that keeps the pre-activations at six positions of every window."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = tuple(sites)
        self.kept: dict[str, list[Tensor]] = {site.hook: [] for site in sites}

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        positions = torch.nonzero(keep[0]).flatten()
        chosen = positions[torch.linspace(0, len(positions) - 1, POSITIONS_PER_WINDOW).round().long()]
        for site in self.sites:
            self.kept[site.hook].append(activations[site.hook][:, chosen].flatten(0, 1).float().cpu())


def cluster_readouts(
    model: Model, explain_part: Corpus, sites: Sequence[Site], count: int, batch_size: int
) -> list[Readout]:
    """Up to ``count`` clusters of each layer the sites lie in, from the codes of the explain documents.

    A layer without a cluster is named on stderr and gives no units.
    """
    layers = sorted({site.layer for site in sites})
    codes_at = [resolve_site(model, "mlp_pre", layer) for layer in layers]
    consumer = _Preactivations(codes_at)
    harvest(model, explain_part, [consumer], batch_size=batch_size, label="codes")
    out = []
    for site in codes_at:
        z = torch.cat(consumer.kept[site.hook])
        part = CodePart(site.hook, model.activation, (site.width,))
        codes = SplineCodes.hard(CodeMap((part,), site.hook, model.name), {site.hook: z.numpy()})
        found = cluster_codes(codes, min_cluster_size=MINIMUM_CLUSTER)
        if not found.n_clusters:
            say(f"layer {site.layer}: no cluster of spline codes ({found.reason}); no cluster units there")
            continue
        out.append(_readout(site, z, [found.members(i) for i in range(min(count, found.n_clusters))]))
    return out


def _readout(site: Site, z: Float[Tensor, "item width"], members: Sequence[np.ndarray]) -> Readout:
    sign = torch.where(z > 0, 1.0, -1.0)
    majority = torch.stack([torch.where(sign[items].mean(0) > 0, 1.0, -1.0) for items in members], dim=1)
    usual = (sign @ majority / site.width).mean(0)

    def read(x: Tensor) -> Tensor:
        return (torch.where(x > 0, 1.0, -1.0) @ majority / site.width - usual).relu()

    units = tuple(Unit("cluster", site.layer, i, site.hook) for i in range(len(members)))
    return Readout(site, units, read)
