"""A training step for Matryoshka dictionaries [Bussmann et al. 2025]: the first features reconstruct alone as well.

    loss = sum over widths w of the mean over tokens of |sum over features f < w of values_f D_f + b - x|^2

where w goes through the inner widths and the number of features, with the active features those of the whole
dictionary. The gradients are those of `TopKTrainer` once for each width. The auxiliary loss is of the whole dictionary.
Oracle: sae-lens' `matryoshka_batchtopk`, which decodes densely.

Axis glossary: ``row`` tokens of a batch, ``active`` chosen features.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from eval.measures.dictionaries.dictionary_kernels import decode_active
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.selection import Read


class NestedTrainer(TopKTrainer):
    """`TopKTrainer` whose loss holds that of every width in `options.nested` besides."""

    def gradients(self, read: Read, error: Float[Tensor, "row d_out"]) -> tuple[float, dict[str, Tensor]]:
        """The losses beside that of all features, and all gradients but that one's for the decoder's bias."""
        beside, found = super().gradients(read, error)
        for width in self.options.nested:
            inner = read.indices < width
            missed = error - decode_active(read.indices, read.values * ~inner, self.decoder, read.counts)
            for name, gradient in self.of_written(read, read.values * inner, missed).items():
                found[name] += gradient
            found["decoder_bias"] += missed.sum(0) * (2 / len(missed))
            beside += float(missed.square().sum()) / len(missed)
        return beside, found
