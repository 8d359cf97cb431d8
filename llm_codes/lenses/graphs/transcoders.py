"""One transcoder for each layer of a model: what a whole-model graph takes its features from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.saes.files import CONFIG, open_dictionary
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.foreign.circuit_tracer import layer_files
from llm_codes.lenses.saes.matching import check_fits, content_hash, model_hash
from llm_codes.lenses.saes.shipped import shipped_transcoders
from llm_codes.models import Model, untrained_like
from llm_codes.sites import resolve_site

AGREEMENT = 1e-3  # relative: an activation against its linear pre-activation


@dataclass(frozen=True)
class LayerTranscoder:
    """The transcoder of one MLP, in the model's dtype.

    encoder: [d_model, feature]; decoder: [feature, d_model]; skip: [d_model, d_model], applied to the input, or none.
    """

    folder: SAEFolder
    encoder: Float[Tensor, "width feature"]
    encoder_bias: Float[Tensor, " feature"]
    decoder: Float[Tensor, "feature width"]
    decoder_bias: Float[Tensor, " width"]
    skip: Float[Tensor, "width width"] | None

    @property
    def n_features(self) -> int:
        return len(self.decoder)

    @torch.no_grad()
    def active(self, inputs: Float[Tensor, "position width"]) -> Float[Tensor, "position feature"]:
        """Feature activations, 0 where a feature is off; where it is on, its linear pre-activation.

        Raises:
            UserError: an activation is no linear function of the input where it is on.
        """
        values = self.folder.encode(inputs.to(self.folder.sae.W_enc.dtype)).to(inputs)
        linear = inputs @ self.encoder + self.encoder_bias
        on = values != 0
        gap = float((values - linear)[on].abs().max()) if bool(on.any()) else 0.0
        if not gap <= AGREEMENT * float(values.abs().max() if bool(on.any()) else 1.0):
            raise UserError(
                f"expected features that are linear in their input where they are active; {self.folder.name} differs "
                f"by {gap:.3g} ({self.folder.sae.cfg.architecture()}); use a TopK or JumpReLU transcoder"
            )
        return torch.where(on, linear, 0.0)

    def written(
        self,
        features: Float[Tensor, "position feature"],
        inputs: Float[Tensor, "position width"],
        decoder: Float[Tensor, "feature width"] | None = None,
    ) -> Float[Tensor, "position width"]:
        """What features write, with the bias and the skip map of what was read; `decoder`: other vectors for them."""
        out = features @ (self.decoder if decoder is None else decoder) + self.decoder_bias
        return out if self.skip is None else out + inputs @ self.skip


def open_transcoders(model: Model, transcoders: Any = None) -> tuple[LayerTranscoder, ...]:
    """A transcoder for every layer of the model, lowest first, each checked against it.

    transcoders: none (those that ship with the embedded model), a folder of folders (what `sae train` writes), a set of
        circuit-tracer (`layer_N.safetensors`), or a sequence of folders, files and dictionaries, in any order.

    Raises:
        UserError: no transcoder or several for a layer; another model's, another width; not from MLP input to output.
    """
    found = [open_dictionary(item, model.device) for item in _references(model, transcoders)]
    by_layer: dict[int, LayerTranscoder] = {}
    for folder in found:
        checked = check_fits(folder, model)
        layer = _layer(model, checked)
        if layer in by_layer:
            raise UserError(
                f"expected one transcoder a layer; got {by_layer[layer].folder.name} and {checked.name} for layer "
                f"{layer}; name one"
            )
        by_layer[layer] = _weights(checked, model)
    missing = [layer for layer in range(model.n_layers) if layer not in by_layer]
    if missing:
        raise UserError(
            f"expected a transcoder for each of the {model.n_layers} layers of {model.name}; got none for layer "
            f"{', '.join(map(str, missing))}; train them with `sae train --architecture transcoder --sites mlp_in "
            "--sites-out mlp_out --layers :`"
        )
    return tuple(by_layer[layer] for layer in range(model.n_layers))


@dataclass(frozen=True)
class UntrainedModel:
    """A model of fresh weights and transcoders trained on it, as on the model that it is the control of."""

    model: Model
    transcoders: tuple[LayerTranscoder, ...]

    @property
    def sha256(self) -> str:
        return transcoders_sha256(self.transcoders)


def open_untrained(model: Model, folder: str, seed: int) -> UntrainedModel | None:
    """`untrained_like(model, seed)` and what `sae train --untrained` made of it; none where no folder is named.

    Raises:
        UserError: transcoders of another model, or not one a layer.
    """
    if not folder:
        return None
    fresh = untrained_like(model, seed)
    return UntrainedModel(fresh, open_transcoders(fresh, folder))


def reason_without_transcoders(model: Model) -> str:
    """Why no shipped transcoders fit these weights; empty if they do."""
    shipped = shipped_transcoders()
    if not shipped:
        return "no transcoders are installed with this copy"
    trained_on = open_dictionary(shipped[min(shipped)]).metadata
    if trained_on.get("model_hash") != model_hash(model):
        return f"no transcoders ship for {model.name} (those that ship were trained on {trained_on.get('model_name')})"
    return ""


def transcoders_sha256(transcoders: Sequence[LayerTranscoder]) -> str:
    """The content of all transcoders, as one hash."""
    tensors = {
        f"{layer}/{name}": value
        for layer, item in enumerate(transcoders)
        for name, value in item.folder.sae.state_dict().items()
    }
    return content_hash(tensors)


def _references(model: Model, transcoders: Any) -> Sequence[Any]:
    if transcoders is None or transcoders == "":
        shipped = shipped_transcoders()
        if not shipped:
            raise UserError("expected the transcoders of the embedded model; none are installed with this copy")
        return [shipped[layer] for layer in sorted(shipped)]
    if isinstance(transcoders, (str, Path)):
        place = Path(transcoders)
        if not place.is_dir():
            raise UserError(f"expected a folder of transcoders; got {place}, which is none; check the path")
        folders = sorted(path.parent for path in place.glob(f"*/{CONFIG}"))
        return folders or layer_files(place) or [place]
    return list(transcoders)


def _layer(model: Model, folder: SAEFolder) -> int:
    sites = [resolve_site(model, hook) for hook in (folder.hook, folder.hook_out)]
    if not folder.is_transcoder or [site.kind for site in sites] != ["mlp_in", "mlp_out"]:
        raise UserError(
            f"expected a transcoder from mlp_in to mlp_out; {folder.name} is at {folder.place}; train one with "
            "`sae train --architecture transcoder --sites mlp_in --sites-out mlp_out`"
        )
    if sites[0].layer != sites[1].layer:
        raise UserError(
            f"expected a transcoder within one layer; {folder.name} reads layer {sites[0].layer} and writes layer "
            f"{sites[1].layer}; take one per layer"
        )
    if folder.normalises:
        raise UserError(
            f"expected features in the model's units; {folder.name} has normalize_activations={folder.normalises!r}; "
            "train one with `sae train`"
        )
    return sites[0].layer


def _weights(folder: SAEFolder, model: Model) -> LayerTranscoder:
    sae = folder.sae
    shift = sae.b_dec if getattr(sae.cfg, "apply_b_dec_to_input", False) else torch.zeros_like(sae.W_enc[:, 0])
    skip = getattr(sae, "W_skip", None)
    parts = (sae.W_enc, sae.b_enc - shift @ sae.W_enc, sae.W_dec, sae.b_dec, None if skip is None else skip.T)
    return LayerTranscoder(folder, *(None if part is None else part.detach().to(model.dtype) for part in parts))  # type: ignore[arg-type]
