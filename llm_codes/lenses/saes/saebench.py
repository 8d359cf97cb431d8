"""An evaluation in the form of SAEBench's core results, so that its viewers and tables read it beside others.

`saebench_core.json` of `sae eval` has the keys of `CoreEvalOutput` (Karvonen et al. 2025; sae_bench, `evals/core`),
each measured here, on the documents and with the windows that its `eval_config` names. A transcoder has none: the
form knows one site. Differences from SAEBench's own runs stand in `eval_result_unstructured`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import content_hash
from llm_codes.lenses.saes.rows import DictionaryEvaluation
from llm_codes.models import Model

CHUNK = 2048
DIFFERENCES = (
    "positions at the start of a window (eval_config.exclude_special_tokens_from_reconstruction) are neither replaced, "
    "ablated nor counted",
    "explained_variance is 1 - sum |x' - x|^2 / sum |x - mean|^2; mse is |x' - x|^2 summed over the width, a mean over "
    "tokens",
    "scores are pooled over tokens; 95% intervals over documents stand in results.json",
)


def core_output(
    sae: SAEFolder,
    found: DictionaryEvaluation,
    frequency: Mapping[str, float],
    model: Model,
    corpus: Corpus,
    walk: HarvestOptions,
) -> dict[str, Any]:
    """The JSON of SAEBench's core evaluation.

    frequency: what `frequencies` says of the same pass. walk: how the text was walked.

    Raises:
        UserError: a transcoder, which the form does not know.
    """
    if sae.is_transcoder:
        raise UserError(
            f"expected a dictionary that reads and writes one place; got {sae.name}, {sae.place}; SAEBench's core "
            "results know no transcoder"
        )
    said, batches = corpus.describe(), -(-len(corpus) // walk.batch_size)
    identity = f"{content_hash(sae.sae.state_dict())}/{model.weights_sha256}/{said['sha256_of_tokens']}"
    return {
        "eval_type_id": "core",
        "eval_config": {
            "model_name": model.name,
            "llm_dtype": str(model.dtype).removeprefix("torch."),
            "batch_size_prompts": walk.batch_size,
            "n_eval_reconstruction_batches": batches,
            "n_eval_sparsity_variance_batches": batches,
            "dataset": str(said["source"]),
            "context_size": corpus.context,
            "compute_kl": True,
            "compute_ce_loss": True,
            "compute_l2_norms": True,
            "compute_sparsity_metrics": True,
            "compute_variance_metrics": True,
            "compute_featurewise_density_statistics": False,
            "compute_featurewise_weight_based_metrics": False,
            "exclude_special_tokens_from_reconstruction": walk.exclude_positions > 0,
            "verbose": False,
        },
        "eval_id": str(uuid.uuid5(uuid.NAMESPACE_OID, identity)),
        "datetime_epoch_millis": int(time.time() * 1000),
        "eval_result_metrics": core_metrics(sae, found, frequency),
        "eval_result_details": [],
        "sae_bench_commit_hash": f"not run by SAEBench; neural-codes {version('neural-codes')}",
        "sae_lens_id": sae.name,
        "sae_lens_release_id": None,
        "sae_lens_version": version("sae-lens"),
        "sae_cfg_dict": {key: _plain(value) for key, value in sae.sae.cfg.to_dict().items()},
        "eval_result_unstructured": {"differences": list(DIFFERENCES)},
    }


def core_metrics(
    sae: SAEFolder, found: DictionaryEvaluation, frequency: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """The scores by SAEBench's category and name; one that is undefined is left out, since the form has no reasons."""
    sizes = found.sizes
    if sizes is None:
        raise UserError("expected an evaluation with sizes; got one of an earlier version; measure it again")
    original, kl, kl_zero = found.ce_original.value, found.kl.value, sizes.kl_zero.value
    categories: dict[str, dict[str, float | None]] = {
        "model_behavior_preservation": {
            "kl_div_score": (kl_zero - kl) / kl_zero if kl is not None and kl_zero else None,
            "kl_div_with_ablation": kl_zero,
            "kl_div_with_sae": kl,
        },
        "model_performance_preservation": {
            "ce_loss_score": found.ce_recovered_zero.value,
            "ce_loss_with_ablation": sizes.ce_zero.value,
            "ce_loss_with_sae": _sum(original, found.ce_delta.value),
            "ce_loss_without_sae": original,
        },
        "reconstruction_quality": {
            "explained_variance": _rest(found.fvu.value),
            "explained_variance_legacy": _rest(found.fvu_per_token.value),
            "mse": sizes.squared_error.value,
            "cossim": found.cosine.value,
        },
        "shrinkage": {
            "l2_norm_in": sizes.norm.value,
            "l2_norm_out": sizes.norm_made.value,
            "l2_ratio": sizes.norm_ratio.value,
            "relative_reconstruction_bias": sizes.reconstruction_bias.value,
        },
        "sparsity": {"l0": found.l0.value, "l1": sizes.l1.value},
        "token_stats": {
            "total_tokens_eval_reconstruction": sizes.n_predicted,
            "total_tokens_eval_sparsity_variance": sizes.n_tokens,
        },
        "misc_metrics": {
            **frequency,
            "average_max_encoder_cosine_sim": mean_largest_cosine(sae.sae.W_enc.detach().T),
            "average_max_decoder_cosine_sim": mean_largest_cosine(sae.sae.W_dec.detach()),
            "frac_alive": _rest(found.dead_share.value),
        },
    }
    return {
        category: {name: value for name, value in scores.items() if value is not None}
        for category, scores in categories.items()
    }


def frequencies(density: Float[Tensor, " feature"]) -> dict[str, float]:
    """Shares of features that fire on over 1% and 10% of the tokens, and their shares of all firing."""
    total = float(density.sum())
    out: dict[str, float] = {}
    for name, least in (("1", 0.01), ("10", 0.1)):
        often = density > least
        out[f"freq_over_{name}_percent"] = float(often.float().mean())
        out[f"normalized_freq_over_{name}_percent"] = float(density[often].sum()) / total if total else 0.0
    return out


def mean_largest_cosine(vectors: Float[Tensor, "feature width"]) -> float:
    """The mean over features of the largest cosine to another one; a vector of zeros has cosine 0 to all."""
    unit = torch.nn.functional.normalize(vectors.float(), dim=1)
    total = 0.0
    for start in range(0, len(unit), CHUNK):
        cosine = unit[start : start + CHUNK] @ unit.T
        rows = torch.arange(len(cosine))
        cosine[rows, rows + start] = -torch.inf
        total += float(cosine.max(1).values.sum())
    return total / len(unit)


def _rest(value: float | None) -> float | None:
    """One minus a share."""
    return None if value is None else 1 - value


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
