"""A dictionary of sae-lens with what is known about it: where it reads and writes, how it encodes and decodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.dictionaries.feature_rows import FeatureRows


@dataclass(frozen=True, repr=False)
class SAEFolder:
    """A dictionary with what is known about it.

    sae: the sae-lens object. hook: where it reads; hook_out: where it writes (the same for an SAE).
    metadata: of its `cfg.json`; name: folder or release/id.
    """

    sae: Any
    hook: str
    hook_out: str
    metadata: Mapping[str, Any]
    name: str

    @property
    def d_in(self) -> int:
        return int(self.sae.cfg.d_in)

    @property
    def d_out(self) -> int:
        return int(getattr(self.sae.cfg, "d_out", self.sae.cfg.d_in))

    @property
    def n_features(self) -> int:
        return int(self.sae.cfg.d_sae)

    @property
    def place(self) -> str:
        """Where it reads, and where it writes if that is elsewhere, in words."""
        return self.hook if self.hook == self.hook_out else f"{self.hook} to {self.hook_out}"

    @property
    def is_transcoder(self) -> bool:
        return hasattr(self.sae.cfg, "d_out")

    @property
    def normalises(self) -> str:
        """How it normalises each activation before it encodes (`layer_norm`, ...); empty where it does not."""
        kind = str(self.sae.cfg.normalize_activations)
        return kind if kind in ("layer_norm", "constant_norm_rescale") else ""

    @property
    def hooks_read(self) -> tuple[str, ...]:
        """Everything that what it writes depends on."""
        return (self.hook,)

    def written_from(self, seen: Mapping[str, Tensor]) -> Float[Tensor, "... d_out"]:
        """What it makes of activations [... width] by hook name."""
        return self.reconstruct(seen[self.hook])

    @property
    def vectors(self) -> Float[Tensor, "feature d_out"]:
        return self.sae.W_dec.detach()

    def direction(self, feature: int) -> Float[Tensor, " d_out"]:
        """What one unit of a feature writes.

        Raises:
            UserError: no such feature.
        """
        if not 0 <= feature < self.n_features:
            raise UserError(f"unknown feature {feature}: expected 0 to {self.n_features - 1}; choose one of those")
        return self.vectors[feature]

    def __repr__(self) -> str:
        kind = self.sae.cfg.architecture()
        return f"SAEFolder({self.name}: {kind}, {self.n_features} features, {self.d_in} wide, at {self.place})"

    @property
    def offset(self) -> Float[Tensor, " d_out"]:
        return self.sae.b_dec.detach()

    @torch.no_grad()
    def encode(self, activations: Float[Tensor, "row d_in"]) -> Float[Tensor, "row feature"]:
        return self.sae.encode(activations)

    @torch.no_grad()
    def encode_rows(self, activations: Float[Tensor, "row d_in"]) -> FeatureRows:
        """Features in sparse form; TopK without the dense matrix of kept values."""
        if self.sae.cfg.architecture() != "topk" or self.sae.cfg.normalize_activations != "none":
            return FeatureRows.from_dense(self.encode(activations))
        bias = self.offset if self.sae.cfg.apply_b_dec_to_input else torch.zeros_like(activations[0])
        encoder, k = self.sae.W_enc.detach().T, self.sae.cfg.k
        if not self.sae.cfg.rescale_acts_by_decoder_norm:
            scores = torch.addmm(self.sae.b_enc, activations - bias, encoder.T).relu_()
            values, indices = scores.topk(k, dim=1)
            return FeatureRows(indices, values, self.n_features)
        return FeatureRows.from_dense(self.encode(activations))

    @torch.no_grad()
    def decode(self, features: Float[Tensor, "row feature"]) -> Float[Tensor, "row d_out"]:
        """What features write.

        Raises:
            UserError: the dictionary normalises; what it writes then depends on the activation it read.
        """
        if self.normalises and not self.is_transcoder:
            raise UserError(
                f"expected a dictionary that decodes features alone; {self.name} has normalize_activations="
                f"{self.normalises!r} and scales by the activation it read; use reconstruct(), or another dictionary"
            )
        return self.sae.decode(features)

    @torch.no_grad()
    def reconstruct(self, activations: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """What the dictionary makes of an activation (a transcoder: of the other site's)."""
        flat = activations.reshape(-1, activations.shape[-1])
        return self.sae(flat).reshape(*activations.shape[:-1], -1)
