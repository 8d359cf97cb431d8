"""SAEBench's core form: the published categories and names, each the number of `sae eval` or of a plain sum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.__main__ import main
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.saebench import core_output, frequencies, mean_largest_cosine

CATEGORIES = {
    "model_behavior_preservation": "kl_div_score kl_div_with_ablation kl_div_with_sae",
    "model_performance_preservation": "ce_loss_score ce_loss_with_ablation ce_loss_with_sae ce_loss_without_sae",
    "reconstruction_quality": "explained_variance explained_variance_legacy mse cossim",
    "shrinkage": "l2_norm_in l2_norm_out l2_ratio relative_reconstruction_bias",
    "sparsity": "l0 l1",
    "token_stats": "total_tokens_eval_reconstruction total_tokens_eval_sparsity_variance",
    "misc_metrics": "freq_over_1_percent freq_over_10_percent normalized_freq_over_1_percent "
    "normalized_freq_over_10_percent average_max_encoder_cosine_sim average_max_decoder_cosine_sim frac_alive",
}
TEXTS = "model_name llm_dtype dataset"
COUNTS = "batch_size_prompts n_eval_reconstruction_batches n_eval_sparsity_variance_batches context_size"
FLAGS = (
    "compute_kl compute_ce_loss compute_l2_norms compute_sparsity_metrics compute_variance_metrics "
    "compute_featurewise_density_statistics compute_featurewise_weight_based_metrics "
    "exclude_special_tokens_from_reconstruction verbose"
)


def an_object(**properties: Any) -> dict[str, Any]:
    """A schema of exactly these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def of_kind(names: str, kind: str) -> dict[str, Any]:
    return {name: {"type": kind} for name in names.split()}


SCHEMA = an_object(
    eval_type_id={"const": "core"},
    eval_config=an_object(**of_kind(TEXTS, "string"), **of_kind(COUNTS, "integer"), **of_kind(FLAGS, "boolean")),
    eval_id={"type": "string", "pattern": "^[0-9a-f-]{36}$"},
    datetime_epoch_millis={"type": "integer", "minimum": 0, "maximum": 9999999999999},
    eval_result_metrics=an_object(
        **{
            name: an_object(**of_kind(names, "integer" if name == "token_stats" else "number"))
            for name, names in CATEGORIES.items()
        }
    ),
    eval_result_details={"type": "array"},
    sae_bench_commit_hash={"type": "string"},
    sae_lens_id={"type": ["string", "null"]},
    sae_lens_release_id={"type": ["string", "null"]},
    sae_lens_version={"type": ["string", "null"]},
    sae_cfg_dict={"type": ["object", "null"]},
    eval_result_unstructured={},
)
"""Field names of sae_bench `evals/core/eval_output.py` and `eval_config.py`, without its defaults."""


def test_the_file_of_an_evaluation_has_every_published_key_that_is_measured_and_no_other(
    tmp_path: Path, tiny_model_folder: Path, text_folder: Path
) -> None:
    text = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--threads", "1"]
    sizes = ["--tokens", "2048", "--train-batch-size", "128", "--block-windows", "16", "--width", "2x", "--k", "6"]
    made = str(tmp_path / "sae")
    assert main(["sae", "train", *text, *sizes, "--sites", "mlp_out", "--layers", "1", "--out", made]) == 0
    words = ["--sae", made, "--tokens", "1500", "--split", "all", "--dashboards", "0", "--out", str(tmp_path / "eval")]
    assert main(["sae", "eval", *text, *words]) == 0
    found = json.loads((tmp_path / "eval" / "saebench_core.json").read_text())
    category = found["eval_result_metrics"]["model_performance_preservation"]
    assert "ce_loss_score" not in category  # of an untrained model's MLP: undefined, so left out and no number
    damaged = json.loads(json.dumps(found))
    with pytest.raises(jsonschema.ValidationError, match="'ce_loss_score' is a required property"):
        jsonschema.Draft202012Validator(SCHEMA).validate(damaged)
    category["ce_loss_score"] = 0.5  # every other key is there, and none besides
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    results = json.loads((tmp_path / "eval" / "results.json").read_text())
    metrics = {name: value for group in found["eval_result_metrics"].values() for name, value in group.items()}
    assert metrics["l0"] == results["l0"] and metrics["kl_div_with_sae"] == results["kl"]
    assert metrics["explained_variance"] == 1 - results["fvu"]
    assert metrics["ce_loss_with_sae"] == results["ce_original"] + results["ce_delta"]
    ablated = metrics["kl_div_with_ablation"]
    assert metrics["kl_div_score"] == pytest.approx((ablated - metrics["kl_div_with_sae"]) / ablated)
    assert 0 < metrics["frac_alive"] <= 1 and metrics["total_tokens_eval_reconstruction"] > 1000


def test_frequencies_and_cosines_are_the_plain_sums() -> None:
    density = torch.tensor([0.0, 0.005, 0.02, 0.2, 0.5])
    found = frequencies(density)
    assert found["freq_over_1_percent"] == pytest.approx(3 / 5) and found["freq_over_10_percent"] == pytest.approx(0.4)
    assert found["normalized_freq_over_1_percent"] == pytest.approx(0.72 / 0.725)
    assert frequencies(torch.zeros(4))["normalized_freq_over_10_percent"] == 0
    vectors = np.random.default_rng(0).normal(size=(2100, 5))  # more than one chunk
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    assert mean_largest_cosine(torch.from_numpy(vectors)) == pytest.approx(cosine.max(1).mean(), rel=1e-5)


def test_a_transcoder_has_no_place_in_the_form() -> None:
    from llm_codes.lenses.saes.shipped import shipped_transcoders

    sae: Any = load_sae(shipped_transcoders()[2])
    nothing: Any = None
    with pytest.raises(UserError, match="expected a dictionary that reads and writes one place; got .*blocks.2.mlp"):
        core_output(sae, nothing, {}, nothing, nothing, nothing)
