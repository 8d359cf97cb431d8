"""How good is a dictionary? Sums per document, so that every number has an interval over documents.

Axis glossary: ``row`` tokens, ``document``, ``feature``.

Two conventions of the fraction of variance unexplained (FVU) are in use, and both are given:
``fvu`` = sum |x' - x|^2 / sum |x - mean|^2, and ``fvu_per_token`` = mean over tokens of |x' - x|^2 / |x - mean|^2
(one minus sae-lens' legacy explained variance), which small-norm tokens dominate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.measures.statistics.resampling import bootstrap_ratio
from eval.scores import Score

COLUMNS = ("error", "spread", "relative", "cosine", "active", "norm", "made", "ratio", "square", "dot", "l1", "tokens")
DENSITY_EDGES = tuple(10.0**power for power in np.arange(-6, 0.01, 0.5))


@dataclass(frozen=True)
class DensityBin:
    """How many features fire on a share of tokens in (low, high]; a histogram's first bin holds the silent ones."""

    low: float
    high: float
    features: int


class DictionaryQuality:
    """Accumulates reconstruction quality over batches; ``results()`` gives scores with document intervals.

    center: the mean activation (of the training tokens, or any fixed one) that variance is measured from.
    """

    def __init__(self, n_documents: int, n_features: int, center: Float[Tensor, " width"]) -> None:
        self.sums = np.zeros((n_documents, len(COLUMNS)))
        self.fired = np.zeros(n_features)
        self.center = center

    def update(
        self,
        target: Float[Tensor, "row width"],
        reconstruction: Float[Tensor, "row width"],
        features: Float[Tensor, "row feature"],
        document: Int[Tensor, " row"],
    ) -> None:
        """Take a batch: what was to be written, what was, the features, and each row's document."""
        error = (reconstruction - target).square().sum(1)
        spread = (target - self.center).square().sum(1)
        cosine = torch.nn.functional.cosine_similarity(reconstruction, target, dim=1)
        active = (features > 0).sum(1)
        norm, made = target.norm(dim=1), reconstruction.norm(dim=1)
        columns = [error, spread, error / spread.clamp_min(1e-12), cosine, active.float(), norm, made]
        columns += [made / norm.clamp_min(1e-4), made.square(), (target * reconstruction).sum(1), features.abs().sum(1)]
        columns.append(torch.ones_like(error))
        values = torch.stack(columns, 1).double().cpu().numpy()
        np.add.at(self.sums, document.cpu().numpy(), values)
        self.fired += (features > 0).sum(0).double().cpu().numpy()

    def results(self, seed: int = 0) -> dict[str, Score]:
        """``l0``, ``fvu``, ``fvu_per_token``, ``cosine`` as means per token, and ``dead_share`` (no interval)."""
        kept = self.sums[self.sums[:, -1] > 0]
        error, spread, relative, cosine, active, *_, tokens = kept.T
        n_tokens = int(tokens.sum())
        if not n_tokens:
            return dict.fromkeys(
                ("l0", "fvu", "fvu_per_token", "cosine", "dead_share"), Score.undefined("no tokens", 0)
            )
        return {
            "l0": bootstrap_ratio(active, tokens, seed=seed),
            "fvu": bootstrap_ratio(error, spread, seed=seed),
            "fvu_per_token": bootstrap_ratio(relative, tokens, seed=seed),
            "cosine": bootstrap_ratio(cosine, tokens, seed=seed),
            "dead_share": Score(
                float((self.fired == 0).mean()),
                n=n_tokens,
                interval_reason=f"features silent on these {n_tokens} tokens",
            ),
        }

    def sizes(self, seed: int = 0) -> dict[str, Score]:
        """Means per token of ``squared_error`` (summed over the width), ``l1`` of the features, ``norm`` of what was to
        be written and ``norm_made`` of what was, ``norm_ratio``; and ``reconstruction_bias``, sum |x'|^2 / sum x . x',
        which is 1 without shrinkage and below 1 with it [Rajamanoharan et al. 2024, equation 10]."""
        kept = self.sums[self.sums[:, -1] > 0]
        error, _, _, _, _, norm, made, ratio, square, dot, l1, tokens = kept.T
        means = {"squared_error": error, "l1": l1, "norm": norm, "norm_made": made, "norm_ratio": ratio}
        if not tokens.sum():
            return dict.fromkeys((*means, "reconstruction_bias"), Score.undefined("no tokens", 0))
        out = {name: bootstrap_ratio(values, tokens, seed=seed) for name, values in means.items()}
        return out | {"reconstruction_bias": bootstrap_ratio(square, dot, seed=seed)}

    def density_histogram(self) -> list[DensityBin]:
        """Features by the share of tokens they fire on; the first bin holds the silent ones."""
        share = self.fired / max(1.0, self.sums[:, -1].sum())
        counts, edges = np.histogram(share[share > 0], bins=[0.0, *DENSITY_EDGES])
        silent = DensityBin(0.0, 0.0, int((share == 0).sum()))
        pairs = zip(edges[:-1], edges[1:], counts, strict=True)
        return [silent, *(DensityBin(float(low), float(high), int(n)) for low, high, n in pairs)]
