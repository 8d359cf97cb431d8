"""A training step for cross-layer transcoders: features of one layer that write to it and to every layer above.

    f_i  = the k largest of (x_i - c_i) E_i^T + e_i, relu          features of layer i, read from its input
    y'_j = sum over i <= j of f_i D_ij + b_j                       what stands in for the output of layer j
    loss = mean over tokens of sum over j of |y'_j - y_j|^2  (+ aux: dead features of i reconstruct y_j - y'_j, j >= i)

[Lindsey et al. 2024, Sparse crosscoders; Ameisen et al. 2025, Circuit tracing, Architecture] They train JumpReLU with a
tanh penalty; here k features a token are active on average in each layer, chosen on f_i |D_i| with D_i the vectors to
all layers it writes to. Layer i is a TopK transcoder that writes L - i outputs side by side; the errors, which every
layer below shares, couple them. With one layer it is that transcoder.

Axis glossary: ``row`` tokens of a batch, ``layer`` (L of them), ``feature`` of one layer, ``width`` (d_in, d_out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.dictionaries.dictionary_kernels import decode_active
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.step_options import StepOptions


class CrossLayerTrainer:
    """Weights and Adam's state of one cross-layer transcoder under training.

    Args:
        options: of one layer, as for a transcoder; `d_out` is the width of one output. n_layers: how many there are.

    Attributes:
        layers: what each layer reads and writes; `layers[i].decoder` is [feature, (L - i) d_out], nearest layer first.
    """

    def __init__(self, options: StepOptions, n_layers: int, device: str = "cpu") -> None:
        self.options, self.n_layers = options, n_layers
        half = options.auxiliary_features or max(1, options.d_out // 2)
        self.layers = [
            TopKTrainer(
                replace(
                    options,
                    d_out=options.d_out * (n_layers - number),
                    seed=options.seed + number,
                    bias=number == 0,
                    auxiliary_features=half,
                ),
                device,
            )
            for number in range(n_layers)
        ]

    @property
    def decoder_bias(self) -> Float[Tensor, "layer d_out"]:
        """Of every output; the first layer, which writes to all of them, holds it."""
        return self.layers[0].decoder_bias.view(self.n_layers, -1)

    @property
    def step_count(self) -> int:
        return self.layers[0].step_count

    @torch.no_grad()
    def step(
        self, x: Sequence[Float[Tensor, "row d_in"]], target: Sequence[Float[Tensor, "row d_out"]]
    ) -> list[dict[str, float]]:
        """One gradient step; for each layer its output's ``loss`` and ``fvu``, its features' ``l0`` and ``dead_share``.

        ``gradient_norm`` is that of all layers together, by which all are clipped. A step whose loss or gradient is not
        finite changes nothing and returns ``loss = nan``.
        """
        width, rows = self.options.d_out, len(x[0])
        reads = [layer.read(own) for layer, own in zip(self.layers, x, strict=True)]
        made = [
            decode_active(read.indices, read.values, layer.decoder, read.counts)
            for layer, read in zip(self.layers, reads, strict=True)
        ]
        written = made[0] + self.layers[0].decoder_bias
        for number, above in enumerate(made[1:], 1):
            written[:, number * width :] += above
        error = written - torch.cat(list(target), 1)
        missed = [error[:, number * width :].contiguous() for number in range(self.n_layers)]
        found = [layer.gradients(read, own) for layer, read, own in zip(self.layers, reads, missed, strict=True)]
        found[0][1]["decoder_bias"] += error.sum(0) * (2 / rows)
        norms = [layer.gradient_norm(own) for layer, (_, own) in zip(self.layers, found, strict=True)]
        norm = norms[0] if self.n_layers == 1 else math.hypot(*norms)
        losses = [
            float(part.square().sum()) / rows + auxiliary
            for part, (auxiliary, _) in zip(error.split(width, 1), found, strict=True)
        ]
        if not math.isfinite(sum(losses)) or not math.isfinite(norm):
            return [{"loss": math.nan}] * self.n_layers
        for layer, (_, own) in zip(self.layers, found, strict=True):
            layer.apply(own, norm)
        return [
            {"loss": loss, **layer.measured(read, part, own), "gradient_norm": norm}
            for loss, layer, read, part, own in zip(
                losses, self.layers, reads, error.split(width, 1), target, strict=True
            )
        ]

    def state(self) -> dict[str, Tensor]:
        """Everything a bitwise continuation needs, as tensors."""
        return {f"{i}/{name}": value for i, layer in enumerate(self.layers) for name, value in layer.state().items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from ``state()``."""
        for number, layer in enumerate(self.layers):
            prefix = f"{number}/"
            layer.load_state({n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)})
