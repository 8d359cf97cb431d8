"""Dictionaries on disk: sae-lens folders (`cfg.json`, `sae_weights.safetensors`, `sparsity.safetensors`).

What we write, `sae_lens.SAE.load_from_disk` reads; what it reads, we read, together with published SAEs by release and
id. Nothing is ever unpickled. The scale of the activations is folded into the weights, decoder vectors have unit norm,
so that a feature's value is how much it writes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.connectors.connector import FeatureRows
from eval.measures.dictionaries.dictionary import TopKDictionary
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.progress import say
from eval.runs import atomic_path, json_text
from eval.torchvision_operators import declare_missing_operators
from llm_codes.sites import resolve_site

WEIGHTS, CONFIG, SPARSITY = "sae_weights.safetensors", "cfg.json", "sparsity.safetensors"
GOOD_WEIGHT_PROCESSING = ("center_writing_weights", "center_unembed", "fold_ln", "fold_value_biases")


@dataclass(frozen=True)
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
    def is_transcoder(self) -> bool:
        return hasattr(self.sae.cfg, "d_out")

    @property
    def vectors(self) -> Float[Tensor, "feature d_out"]:
        return self.sae.W_dec.detach()

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
        return self.sae.decode(features)

    @torch.no_grad()
    def reconstruct(self, activations: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """What the dictionary makes of an activation (a transcoder: of the other site's)."""
        flat = activations.reshape(-1, activations.shape[-1])
        return self.sae(flat).reshape(*activations.shape[:-1], -1)


def save_sae(trained: Any, folder: Path, provenance: Mapping[str, Any], *, half: bool = False) -> Path:
    """Write a trained dictionary as an sae-lens folder, atomically, with the scale folded in.

    trained: a `TrainedSAE`. provenance: model name, tokenizer hash and the like, kept in the metadata.
    half: weights in float16 (half the size; sae-lens converts on loading).
    """
    from safetensors.torch import save_file

    config, weights = _folded(trained)
    config["metadata"] = {**config.get("metadata", {}), **dict(provenance), "hook_name": trained.spec.hook}
    if trained.spec.hook_out:
        config["metadata"]["hook_name_out"] = trained.spec.hook_out
    config["metadata"]["neural_codes"] = trained.spec.as_json()
    weights = {name: (value.half() if half else value.float()).contiguous() for name, value in weights.items()}
    config |= {"device": "cpu", "dtype": "float32"}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    with atomic_path(folder / SPARSITY) as temporary:
        share = (trained.trainer.fired / max(1, trained.tokens)).float().cpu()
        save_file({"sparsity": torch.log10(share + 1e-10)}, temporary)
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(json_text(config), encoding="utf-8")
    return folder


def _folded(trained: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights in the activations' own units."""
    declare_missing_operators()
    from sae_lens import JumpReLUTranscoderConfig, TopKSAEConfig

    spec, trainer = trained.spec, trained.trainer
    if not isinstance(trainer, TopKTrainer):
        return _folded_lens(trained)
    norm = trainer.decoder.norm(dim=1).clamp_min(1e-12)
    factor = norm / trained.scale_out
    weights = {
        "W_enc": (trainer.encoder * (factor * trained.scale_in)[:, None]).T,
        "b_enc": trainer.encoder_bias * factor,
        "W_dec": trainer.decoder / norm[:, None],
        "b_dec": trainer.decoder_bias / trained.scale_out,
    }
    if not spec.is_transcoder:
        config = TopKSAEConfig(spec.d_in, spec.n_features, k=spec.k, rescale_acts_by_decoder_norm=False)
        return config.to_dict(), weights
    weights["threshold"] = torch.full_like(trainer.encoder_bias, trainer.threshold / trained.scale_out)
    config = JumpReLUTranscoderConfig(spec.d_in, spec.n_features, d_out=spec.d_out, apply_b_dec_to_input=False)
    return config.to_dict(), weights


def _folded_lens(trained: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """sae-lens' own conversion to its inference class, on a copy."""
    import copy

    sae = copy.deepcopy(trained.trainer.sae)
    sae.fold_activation_norm_scaling_factor(trained.scale_in)
    weights = {name: value.clone() for name, value in sae.state_dict().items()}
    sae.process_state_dict_for_saving_inference(weights)
    return sae.cfg.get_inference_sae_cfg_dict(), weights


def load_sae(reference: str | Path, sae_id: str = "", device: str = "cpu") -> SAEFolder:
    """A dictionary from a folder, or a published one by release and id.

    Raises:
        UserError: no such folder, an empty one, a missing or damaged file, an unknown release or id.
    """
    declare_missing_operators()
    from sae_lens import SAE

    path = Path(reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if sae_id:
            sae, name = _load_published(SAE, str(reference), sae_id, device), f"{reference}/{sae_id}"
        else:
            _check_folder(path)
            try:
                sae, name = SAE.load_from_disk(path, device=device, dtype="float32"), path.name
            except Exception as error:  # safetensors, json, torch and sae-lens each raise their own
                line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise UserError(
                    f"expected an sae-lens folder at {path}; it is damaged ({line[:160]}); train or copy it again"
                ) from error
    sae.eval()
    metadata = dict(sae.cfg.metadata.to_dict())
    hook = str(metadata.get("hook_name") or "")
    return SAEFolder(sae, hook, str(metadata.get("hook_name_out") or hook), metadata, name)


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise UserError(f"expected a folder with {CONFIG} and {WEIGHTS}; got {path}, which is none; check the path")
    missing = [name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()]
    if missing:
        held = ", ".join(sorted(item.name for item in path.iterdir())[:4]) or "nothing"
        raise UserError(f"expected {' and '.join(missing)} in {path}; it holds {held}; train an SAE into it first")
    try:
        json.loads((path / CONFIG).read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"expected JSON in {path / CONFIG}; it is damaged ({error}); train or copy it again") from error


def _load_published(sae_class: Any, release: str, sae_id: str, device: str) -> Any:
    try:
        return sae_class.from_pretrained(release, sae_id, device=device)
    except Exception as error:  # sae-lens raises ValueError, the Hub client a dozen kinds
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"expected a published SAE {release}/{sae_id}; got: {line[:200]}; "
            "check release and id, or pass a folder (a Hub download needs a network)"
        ) from error


def check_fits(sae: SAEFolder, model: Any) -> SAEFolder:
    """The dictionary, if it belongs to this model: hook, width, weight processing, tokenizer, weights.

    What is returned names its hooks as the model does (`blocks.3.hook_mlp_out` becomes `blocks.3.mlp.hook_out`).
    Weights are compared by hash where the dictionary has one (ours do); a published one that only names another model
    is used with a warning on stderr.

    Raises:
        UserError: any of those differs.
    """
    kwargs = sae.metadata.get("model_from_pretrained_kwargs") or {}
    processed = [name for name in GOOD_WEIGHT_PROCESSING if kwargs.get(name)]
    if processed:
        raise UserError(
            f"SAE {sae.name} expects processed weights ({', '.join(processed)}); {model.name} is loaded raw; "
            "pass a bridge prepared that way to load_model()"
        )
    if not sae.hook:
        raise UserError(f"expected a hook name in the metadata of {sae.name}; got none; add metadata.hook_name")
    model.check_hooks([sae.hook, sae.hook_out])
    trained_on = str(sae.metadata.get("model_name") or "")
    mine = tokenizer_hash(model.tokenizer)
    theirs = sae.metadata.get("tokenizer_hash")
    if theirs and theirs != mine:
        raise UserError(
            f"SAE {sae.name} was trained with another tokenizer (model {trained_on!r}), got {model.name!r}; "
            "use the model it was trained on"
        )
    stored = sae.metadata.get("model_hash")
    if stored and stored not in _possible_hashes(model):
        raise UserError(
            f"SAE {sae.name} was trained on other weights (model {trained_on!r}, hash {stored}); got {model.name!r} "
            f"(hash {model_hash(model)}); use the model it was trained on, or train an SAE on this one"
        )
    if trained_on and not stored and _plain(trained_on) != _plain(model.name):
        say(
            f"warning: SAE {sae.name} names the model {trained_on!r}; it is used on {model.name!r}: "
            "check that they are the same"
        )
    check_width(sae, sae.hook, site_width(model, sae.hook))
    own = {"hook": resolve_site(model, sae.hook).hook, "hook_out": resolve_site(model, sae.hook_out).hook}
    return sae if (sae.hook, sae.hook_out) == tuple(own.values()) else replace(sae, **own)


def _plain(name: str) -> str:
    """A model's name without its organisation or folder, in small letters: `openai-community/GPT2` is `gpt2`."""
    return name.rstrip("/").rsplit("/", 1)[-1].lower()


def check_width(sae: SAEFolder, hook: str, width: int) -> None:
    """The site is as wide as the dictionary reads."""
    if sae.d_in != width:
        raise UserError(
            f"sae.d_in={sae.d_in} but activations at {hook} are {width} wide; was this SAE trained on another model?"
        )


def site_width(model: Any, hook: str) -> int:

    return resolve_site(model, hook).width


def check_pair(first: SAEFolder, second: SAEFolder) -> None:
    """Two dictionaries of one model.

    Raises:
        UserError: they name different models or tokenizers.
    """
    for key, what in (("model_name", "models"), ("tokenizer_hash", "tokenizers"), ("model_hash", "weights")):
        a, b = first.metadata.get(key), second.metadata.get(key)
        if a and b and a != b:
            raise UserError(
                f"expected two dictionaries of one model; got different {what}: {first.name} has {a!r}, "
                f"{second.name} has {b!r}; train both on the same model"
            )


def tokenizer_hash(tokenizer: Any) -> str:
    """A short hash of the vocabulary."""
    import hashlib

    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()[:16]


def model_hash(model: Any) -> str:
    """A short hash of one weight matrix: tells retrained weights of the same name apart."""
    return _hash(_weight_sample(model))


def _possible_hashes(model: Any) -> Container[str]:
    """What these weights hash to in each precision of training; weights in half precision cannot be compared."""
    if model.dtype not in (torch.float32, torch.float64):
        return _Anything()
    sample = _weight_sample(model)
    return {_hash(sample), *(_hash(sample.to(dtype).float()) for dtype in (torch.bfloat16, torch.float16))}


class _Anything:
    """Contains everything: weights rounded to half precision cannot be compared with what they were."""

    def __contains__(self, item: object) -> bool:
        return True


def _weight_sample(model: Any) -> Tensor:
    largest = max(model.bridge.parameters(), key=lambda p: p.numel())
    return largest.detach().flatten()[:4096].float().cpu()


def _hash(sample: Tensor) -> str:
    import hashlib

    return hashlib.sha256(sample.numpy().tobytes()).hexdigest()[:16]


def provenance_of(model: Any) -> dict[str, Any]:
    """What the metadata of a dictionary says about its model."""
    return {
        "model_name": model.name,
        "tokenizer_hash": tokenizer_hash(model.tokenizer),
        "model_hash": model_hash(model),
        "context_size": model.context,
        "prepend_bos": True,
    }


def as_topk(sae: SAEFolder) -> TopKDictionary | None:
    """The plain tensors of a TopK SAE, for code that knows no sae-lens."""
    if sae.sae.cfg.architecture() != "topk":
        return None
    bias = sae.offset if sae.sae.cfg.apply_b_dec_to_input else torch.zeros(sae.d_in)
    return TopKDictionary(
        sae.sae.W_enc.detach().T, sae.sae.b_enc.detach(), sae.vectors, sae.offset, bias, sae.sae.cfg.k
    )
