"""Writing a trained dictionary as an sae-lens folder: what `sae_lens.SAE.load_from_disk` reads.

The scale of the activations is folded into the weights and decoder vectors have unit norm (to the precision written),
so that a feature's value is how much it writes. A dictionary trained with k features on average is saved with one
threshold, chosen on training text and on the very weights that are written: what is saved has the L0 that was asked
for; so are, with a target, the thresholds of a JumpReLU and the gates of a gated one, shifted by one number. L0, FVU
and the silent share of what is saved stand in its metadata (`saved`). Axes: row, feature.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.files import atomic_path, json_text, write_text
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.thresholds import shift_for_mean_active, threshold_for_mean_active
from eval.torchvision_operators import declare_missing_operators
from llm_codes.lenses.saes.files import CONFIG, SPARSITY, WEIGHTS
from llm_codes.lenses.saes.training.specification import GATES, JUMPS, MEAN_K

ROWS = 4096
PER_FEATURE = ("b_enc", "b_gate", "b_mag", "threshold")  # what scales with a feature's value, where a kind has it


@dataclass(frozen=True)
class SavedQuality:
    """What the saved dictionary does on `n_tokens` of training text: features per token, FVU, share never active."""

    l0: float
    fvu: float
    silent_share: float
    n_tokens: int


def save_sae(
    trained: Any,
    folder: Path,
    provenance: Mapping[str, Any],
    *,
    half: bool = False,
    text: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a trained dictionary as an sae-lens folder, atomically, with the scale folded in.

    trained: a `TrainedSAE`. provenance: model name, tokenizer hash and the like, kept in the metadata.
    half: weights in float16 (half the size; sae-lens converts on loading). text: activations of training text by hook
    name, on which the threshold is chosen and the saved dictionary measured; without it the threshold is the running
    mean of training and nothing is said of the quality.
    """
    from safetensors.torch import save_file

    config, weights = _folded(trained)
    config |= {"device": "cpu", "dtype": "float32"}
    weights = {name: (value.half() if half else value.float()).cpu().contiguous() for name, value in weights.items()}
    metadata = {**config.get("metadata", {}), **dict(provenance), "hook_name": trained.spec.hook}
    metadata |= {"hook_name_out": trained.spec.hook_out} if trained.spec.hook_out else {}
    if text is not None:
        _calibrate(trained.spec, config, weights, text)
        metadata["saved"] = asdict(measured(trained.spec, config, weights, text))
    config["metadata"] = {**metadata, "neural_codes": trained.spec.as_json()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    with atomic_path(folder / SPARSITY) as temporary:
        share = (trained.trainer.fired / max(1, trained.tokens)).float().cpu()
        save_file({"sparsity": torch.log10(share + 1e-10)}, temporary)
    write_text(folder / CONFIG, json_text(config))
    return folder


def _calibrate(spec: Any, config: Mapping[str, Any], weights: dict[str, Tensor], text: Mapping[str, Tensor]) -> None:
    """Replace the threshold of a dictionary with k features on average by the one that gives k on this text; shift
    the gates of one with a target."""
    if spec.architecture not in (*MEAN_K, *GATES) or not spec.asked_l0:
        return
    x, encoder = text[spec.hook].cpu(), weights["W_enc"].float()
    offset = weights["b_dec"].float() if config.get("apply_b_dec_to_input") else torch.zeros(spec.d_in)
    bias = weights["b_gate" if spec.architecture == "gated" else "b_enc"].float()
    scores = ((rows - offset) @ encoder + bias for rows in x.split(ROWS))
    if spec.architecture == "gated":
        weights["b_gate"] -= shift_for_mean_active(scores, spec.target_l0, len(x))
        return
    if spec.architecture in JUMPS:
        gates = (part - weights["threshold"].float() for part in scores)
        weights["threshold"] += shift_for_mean_active(gates, spec.target_l0, len(x))
        weights["threshold"].clamp_(min=0.0)
        return
    found = torch.tensor(threshold_for_mean_active(scores, spec.k, len(x)))
    weights["threshold"] = torch.full_like(weights["threshold"], found.item())


@torch.no_grad()
def measured(
    spec: Any, config: Mapping[str, Any], weights: Mapping[str, Tensor], text: Mapping[str, Tensor]
) -> SavedQuality:
    """L0, FVU and silent share of the dictionary that these weights make in sae-lens' own class."""
    from sae_lens import SAE

    name = str(config["architecture"])
    made = SAE.get_sae_config_class_for_architecture(name).from_dict(dict(config, metadata={}))
    inference_class: Any = SAE.get_sae_class_for_architecture(name)
    sae = inference_class(made)
    sae.load_state_dict({key: value.float() for key, value in weights.items()})
    x, y = text[spec.hook].cpu(), text[spec.hook_out or spec.hook].cpu()
    fired, active, error = torch.zeros(spec.n_features), 0.0, 0.0
    for rows, target in zip(x.split(ROWS), y.split(ROWS), strict=True):
        features = sae.encode(rows)
        fired += (features > 0).sum(0)
        active += float((features > 0).sum())
        made = sae(rows) if spec.skip else sae.decode(features)
        error += float((made - target).square().sum())
    spread = float((y - y.mean(0)).square().sum())
    fvu = error / spread if spread else float("nan")
    return SavedQuality(active / len(x), fvu, float((fired == 0).float().mean()), len(x))


def _folded(trained: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights in the activations' own units."""
    declare_missing_operators()
    from sae_lens import JumpReLUSAEConfig, JumpReLUSkipTranscoderConfig, JumpReLUTranscoderConfig, TopKSAEConfig

    spec, trainer = trained.spec, trained.trainer
    if not isinstance(trainer, TopKTrainer):
        return _folded_lens(trained)
    offset = trainer.encoder @ trainer.center if spec.is_transcoder else torch.zeros_like(trainer.encoder_bias)
    norm = trainer.decoder.norm(dim=1).clamp_min(1e-12)
    factor = norm / trained.scale_out
    weights = {
        "W_enc": (trainer.encoder * (factor * trained.scale_in)[:, None]).T,
        "b_enc": (trainer.encoder_bias - offset) * factor,
        "W_dec": trainer.decoder / norm[:, None],
        "b_dec": trainer.decoder_bias / trained.scale_out,
    }
    if spec.architecture == "topk":
        config = TopKSAEConfig(spec.d_in, spec.n_features, k=spec.k, rescale_acts_by_decoder_norm=False)
        return config.to_dict(), weights
    weights["threshold"] = torch.full_like(trainer.encoder_bias, trainer.threshold / trained.scale_out)
    if spec.is_transcoder:
        kind = JumpReLUTranscoderConfig
        if spec.skip:
            kind = JumpReLUSkipTranscoderConfig
            weights["W_skip"] = (trainer.skip * (trained.scale_in / trained.scale_out)).T
            weights["b_dec"] = weights["b_dec"] - trainer.center @ trainer.skip / trained.scale_out
        made = kind(spec.d_in, spec.n_features, d_out=spec.d_out, apply_b_dec_to_input=False)
        return made.to_dict(), weights
    return JumpReLUSAEConfig(spec.d_in, spec.n_features, apply_b_dec_to_input=True).to_dict(), weights


def _folded_lens(trained: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """sae-lens' own conversion to its inference class, on a copy, with decoder vectors of unit norm."""
    sae = copy.deepcopy(trained.trainer.sae)
    if trained.spec.is_transcoder:
        return _folded_jumps(trained, sae)
    sae.fold_activation_norm_scaling_factor(trained.scale_in)
    weights = {name: value.clone() for name, value in sae.state_dict().items()}
    sae.process_state_dict_for_saving_inference(weights)
    return sae.cfg.get_inference_sae_cfg_dict(), _unit_norm(weights)


def _folded_jumps(trained: Any, sae: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A JumpReLU transcoder: two scales and the mean input folded in."""
    from sae_lens import JumpReLUTranscoderConfig

    spec, weights = trained.spec, {name: value.clone() for name, value in sae.state_dict().items()}
    weights["b_enc"] -= trained.trainer.center @ weights["W_enc"]
    weights["W_enc"] *= trained.scale_in
    weights["W_dec"] /= trained.scale_out
    weights["b_dec"] /= trained.scale_out
    weights["threshold"].clamp_(min=0.0)
    made = JumpReLUTranscoderConfig(spec.d_in, spec.n_features, d_out=spec.d_out, apply_b_dec_to_input=False)
    return made.to_dict(), _unit_norm(weights)


def _unit_norm(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same dictionary with decoder vectors of unit norm."""
    norm = weights["W_dec"].norm(dim=1).clamp_min(1e-8)
    scaled = {name: weights[name] * norm for name in ("W_enc", *PER_FEATURE) if name in weights}
    return {**weights, "W_dec": weights["W_dec"] / norm[:, None], **scaled}
