"""Harvest consumers: moments of narrow sites, rows of wide ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from eval.measures.spectra.document_moments import DocumentMoments
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.spectrum import Spectrum
from vision_codes.harvest import Keep, Site


class MomentsConsumer:
    """Exact moments of every unit; each image is its own document (images are independent)."""

    method = "covariance of all units"

    def __init__(self, site: Site) -> None:
        self.site, self.moments = site, Moments(site.width, site.name)

    def update(self, activations: Float[Tensor, "image width"]) -> None:
        self.moments.update(activations)

    def spectrum(self) -> Spectrum:
        return Spectrum.of(self.moments, split_half=False)

    def dispersion(self, index_range: tuple[int, int]) -> float:
        return self.moments.documents.dispersion(np.zeros(self.site.width), index_range)


class RowsConsumer:
    """Rows of a site wider than there are images: the exact Gram route, on all units or a random choice."""

    def __init__(self, site: Site, max_units: int, seed: int) -> None:
        self.site = site
        units = None
        self.method = "exact Gram matrix of all units"
        if site.width > max_units:
            units = np.sort(np.random.default_rng([seed, site.layer]).permutation(site.width)[:max_units])
            self.method = f"exact Gram matrix of {max_units} random units of {site.width}"
        self.keep = Keep(site, units)
        self.documents = DocumentMoments(site.width if units is None else max_units)
        self._seen = 0

    def update(self, activations: Float[Tensor, "image width"]) -> None:
        self.keep.update(activations)
        rows = self.keep.last
        self.documents.update(rows, np.arange(self._seen, self._seen + len(rows)))
        self._seen += len(rows)

    def spectrum(self) -> Spectrum:
        return Spectrum.of_samples(self.keep.rows)

    def dispersion(self, index_range: tuple[int, int]) -> float:
        return self.documents.dispersion(np.zeros(self.keep.width), index_range)
