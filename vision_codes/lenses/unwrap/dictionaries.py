"""TopK dictionaries of the hidden layers, tied and untied, and how well they do on held-out images.

Axis glossary: ``image``, ``unit`` of a hidden layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.dictionaries.dictionary import TopKDictionary, encode_rows
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.step_options import StepOptions
from vision_codes.lenses.unwrap.results import DictionaryQuality


def train_dictionary(
    hidden: Float[Tensor, "image unit"], n_features: int, k: int, steps: int, seed: int, *, tied: bool = True
) -> TopKDictionary:
    """A TopK SAE on one layer; activations are scaled to norm sqrt(width) while training, and back afterwards."""
    width = hidden.shape[1]
    scale = width**0.5 / float(hidden.norm(dim=1).mean())
    options = StepOptions(
        width, n_features, k, tied=tied, learning_rate=2e-3, total_steps=steps, decay_steps=steps // 2, dead_after=60,
        seed=seed,
    )  # fmt: skip
    trainer = TopKTrainer(options)
    trainer.decoder_bias.copy_(hidden.mean(0) * scale)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        trainer.step(hidden[torch.randint(0, len(hidden), (512,), generator=generator)] * scale)
    size = trainer.decoder.norm(dim=1).clamp_min(1e-12)
    bias = trainer.decoder_bias / scale
    encoder, decoder = trainer.encoder * size[:, None], trainer.decoder / size[:, None]
    return TopKDictionary(encoder, trainer.encoder_bias * size / scale, decoder, bias, bias, k)


def quality(dictionary: TopKDictionary, hidden: Float[Tensor, "image unit"]) -> DictionaryQuality:
    """FVU, L0, mean L1 of the features and mean squared error on held-out images."""
    rows = encode_rows(dictionary, hidden)
    error = dictionary.decode_rows(rows) - hidden
    spread = (hidden - hidden.mean(0)).square().sum()
    return DictionaryQuality(
        fvu=float(error.square().sum() / spread),
        l0=float((rows.values > 0).float().sum(1).mean()),
        l1=float(rows.values.sum(1).mean()),
        mse=float(error.square().mean()),
        silent_share=float((rows.density() == 0).float().mean()),
    )
