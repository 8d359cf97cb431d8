"""Writing a trained cross-layer transcoder: scales folded in, vectors of unit norm, thresholds that give the L0 asked.

A feature's vectors to all layers have norm 1 together, in the model's units, so that its value is how much it writes.
Each layer has one threshold on what a feature writes in training's units (mean norm sqrt(width) at every output, or the
layer with the largest activations would choose for all), chosen on training text and on the weights that are written.
Axes: layer, row, feature, width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.measures.dictionaries.thresholds import threshold_for_mean_active
from llm_codes.lenses.saes.cross_layer import CrossLayerTranscoder
from llm_codes.lenses.saes.foreign.cross_layer import write_cross_layer
from llm_codes.lenses.saes.training.saving import ROWS, SavedQuality
from llm_codes.lenses.saes.training.trainers import TrainedCrossLayer


def save_cross_layer(
    trained: TrainedCrossLayer,
    folder: Path,
    provenance: Mapping[str, Any],
    *,
    half: bool = False,
    text: Mapping[str, Tensor],
) -> Path:
    """Write a trained cross-layer transcoder in circuit-tracer's files, with the quality of what is written.

    text: activations of training text by hook name, on which thresholds are chosen and the result measured.
    """
    made, ratio = folded(trained)
    if half:
        made = _rounded(made)
    k = trained.spec.first.k
    thresholds = []
    for layer, own in enumerate(ratio):
        x = text[made.hooks[layer]].cpu()
        scores = (torch.addmm(made.encoder_bias[layer], rows, made.encoder[layer].T) * own for rows in x.split(ROWS))
        thresholds.append(threshold_for_mean_active(scores, k, len(x)) / own)
    made = replace(made, threshold=torch.stack(thresholds))
    if half:
        made = _rounded(made)
    saved = [asdict(one) for one in measured_layers(made, text)]
    said = {**provenance, "saved": saved, "neural_codes": trained.spec.as_json()}
    return write_cross_layer(replace(made, metadata=said), folder, half=half)


def folded(trained: TrainedCrossLayer) -> tuple[CrossLayerTranscoder, list[Tensor]]:
    """The transcoder in the model's units, thresholds 0; and by layer what a unit of each feature writes in training's
    units."""
    count, spec = len(trained.spec.layers), trained.spec
    encoders, biases, decoders, ratios = [], [], [], []
    out = torch.tensor(trained.scales_out)
    for layer, own in enumerate(trained.trainer.layers):
        blocks = own.decoder.cpu().view(spec.n_features, count - layer, -1) / out[layer:, None]
        norm = blocks.flatten(1).norm(dim=1).clamp_min(1e-12)
        encoder, scale = own.encoder.cpu(), trained.scales_in[layer]
        encoders.append(encoder * (norm * scale)[:, None])
        biases.append((own.encoder_bias.cpu() - encoder @ own.center.cpu()) * norm)
        decoders.append(blocks / norm[:, None, None])
        ratios.append(own.decoder.cpu().norm(dim=1).clamp_min(1e-12) / norm)
    made = CrossLayerTranscoder(
        torch.stack(encoders),
        torch.stack(biases),
        torch.zeros(count, spec.n_features),
        tuple(decoders),
        trained.trainer.decoder_bias.cpu() / out[:, None],
        tuple(one.hook for one in spec.layers),
        tuple(one.hook_out for one in spec.layers),
        {},
        spec.name,
    )
    return made, ratios


@torch.no_grad()
def measured_layers(made: CrossLayerTranscoder, text: Mapping[str, Tensor]) -> list[SavedQuality]:
    """Of each layer: L0 and silent share of its features, FVU of its output."""
    n = len(text[made.hooks[0]])
    active, error = torch.zeros(made.n_layers), torch.zeros(made.n_layers)
    fired = torch.zeros(made.n_layers, made.n_features)
    for start in range(0, n, ROWS):
        rows = {hook: part[start : start + ROWS].cpu() for hook, part in text.items()}
        features = [made.features(layer, rows[hook]) for layer, hook in enumerate(made.hooks)]
        for layer, (own, hook) in enumerate(zip(features, made.hooks_out, strict=True)):
            fired[layer] += (own > 0).sum(0)
            active[layer] += (own > 0).sum()
            error[layer] += (made.written(layer, features) - rows[hook]).square().sum()
    out = []
    for layer, hook in enumerate(made.hooks_out):
        y = text[hook].cpu()
        spread = float((y - y.mean(0)).square().sum())
        fvu = float(error[layer]) / spread if spread else float("nan")
        out.append(SavedQuality(float(active[layer]) / n, fvu, float((fired[layer] == 0).float().mean()), n))
    return out


def _rounded(made: CrossLayerTranscoder) -> CrossLayerTranscoder:
    """Its weights as float16 holds them."""
    names = ("encoder", "encoder_bias", "threshold", "decoder_bias")
    short: dict[str, Any] = {name: getattr(made, name).half().float() for name in names}
    return replace(made, **short, decoders=tuple(one.half().float() for one in made.decoders))
