"""Features on both sides of an MLP, harvested on one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.errors import UserError
from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.options import chosen
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import check_fits, check_pair
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site


@dataclass
class FeaturePairs:
    """Features of both dictionaries on the same tokens, and what is needed to show a token again.

    inputs, outputs: sparse features [token active]. x, y: activations of a sample of tokens [sample width].
    tokens, document, window, position: [token]. windows: all tokens of each window [window position].
    """

    inputs: FeatureRows
    outputs: FeatureRows
    x: Float[Tensor, "sample width"]
    y: Float[Tensor, "sample width"]
    tokens: Int[np.ndarray, " token"]
    document: Int[np.ndarray, " token"]
    window: Int[np.ndarray, " token"]
    position: Int[np.ndarray, " token"]
    windows: Int[np.ndarray, "window position"]
    mean_in: Float[Tensor, " width"]
    mean_out: Float[Tensor, " width"]


class PairConsumer:
    """Keeps both sides' features of every token, and the activations of the first `sample` tokens."""

    def __init__(self, model: Model, first: SAEFolder, second: SAEFolder, sample: int = 8192) -> None:
        self.site_in, self.site_out = resolve_site(model, first.hook), resolve_site(model, second.hook_out)
        self.first, self.second, self.sample = first, second, sample
        self.parts: dict[str, list[Any]] = {name: [] for name in ("in", "out", "x", "y", "place")}
        self.sums = [torch.zeros(self.site_in.width), torch.zeros(self.site_out.width)]

    expected_tokens = 0

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site_in, self.site_out)

    def memory_bytes(self) -> int:
        """What is kept at the end, twice while it is joined: features (k per token where known, else 64), places, the
        activations of the sample."""
        active = sum(int(getattr(side.sae.cfg, "k", 64)) for side in (self.first, self.second))
        sample = min(self.sample, self.expected_tokens) * (self.site_in.width + self.site_out.width) * 4
        return 2 * (self.expected_tokens * (active * 12 + 32) + sample)

    def update(self, activations: Mapping[str, Tensor], batch: Batch, keep: Bool[Tensor, "batch position"]) -> None:
        x, y = (activations[site.hook][keep].float().cpu() for site in self.sites)
        self.parts["in"].append(self.first.encode_rows(x))
        self.parts["out"].append(self.second.encode_rows(y))
        if sum(map(len, self.parts["x"])) < self.sample:
            self.parts["x"].append(x)
            self.parts["y"].append(y)
        self.sums[0] += x.sum(0)
        self.sums[1] += y.sum(0)
        row, position = keep.cpu().nonzero(as_tuple=True)
        place = [batch.tokens[row, position], batch.document[row], batch.window[row], position]
        self.parts["place"].append(torch.stack(place).numpy())

    def pairs(self, corpus: Corpus) -> FeaturePairs:
        """Everything harvested, once the pass is over."""
        inputs, outputs = (FeatureRows.concatenate(self.parts[side]) for side in ("in", "out"))
        tokens, document, window, position = np.concatenate(self.parts["place"], axis=1)
        n = max(1, len(inputs))
        x, y = torch.cat(self.parts["x"]), torch.cat(self.parts["y"])
        means = [total / n for total in self.sums]
        return FeaturePairs(inputs, outputs, x, y, tokens, document, window, position, corpus.tokens, *means)


def harvest_pairs(
    model: Model,
    corpus: Corpus,
    first: SAEFolder,
    second: SAEFolder,
    options: HarvestOptions | None = None,
    **changes: Any,
) -> FeaturePairs:
    """Both dictionaries' features on one pass over the corpus; the first positions of each window are left out.

    options, changes: how the text is walked (`batch_size`, `exclude_positions`, `max_memory_gb`).

    Raises:
        UserError: a dictionary that does not fit the model, a pair of different models, sides in the wrong order.
    """
    walk = chosen(HarvestOptions, options, changes)
    check_pair(first, second)
    consumer = PairConsumer(model, check_fits(first, model), check_fits(second, model))
    site_in, site_out = consumer.sites
    if site_in.layer != site_out.layer or site_in.kind not in ("mlp_in", "resid_mid") or site_out.kind != "mlp_out":
        raise UserError(
            f"expected a dictionary before an MLP (mlp_in or resid_mid) and one at its output (mlp_out); "
            f"got {site_in.name} and {site_out.name}; train them around the same layer's MLP"
        )
    consumer.expected_tokens = corpus.n_tokens
    harvest(
        model,
        corpus,
        [consumer],
        batch_size=walk.batch_size,
        exclude_positions=walk.exclude_positions,
        max_memory_gb=walk.max_memory_gb,
        label="features",
    )
    return consumer.pairs(corpus)
