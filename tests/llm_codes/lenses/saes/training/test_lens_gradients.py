"""Gradients at the active features: the dense and the sparse pass are one; a JumpReLU transcoder's are autograd's."""

from __future__ import annotations

import pytest
import torch

from llm_codes.lenses.saes.training import lens_gradients
from llm_codes.lenses.saes.training.lens_gradients import differentiated
from llm_codes.lenses.saes.training.lens_step import LensTrainer
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.lenses.saes.training.trainers import TrainedSAE


def rows(width: int, count: int = 48, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], atol=1e-5, rtol=1e-4, msg=lambda text, name=name: name + text)


def test_a_standard_dictionary_has_one_gradient_whether_many_or_few_features_are_active(monkeypatch) -> None:
    sae = LensTrainer(SAESpec("h", 16, 40, "standard")).sae
    sae.b_enc.data.uniform_(-0.1, 0.1)
    sae.W_dec.data *= torch.rand(40, 1) + 0.5  # norms of their own, so that the penalty's pull differs by feature
    passes = {}
    for share in (0.0, 1.0):
        monkeypatch.setattr(lens_gradients, "DENSE", share)
        passes[share] = differentiated(sae, "standard", rows(16), 0.7)
    dense, sparse = passes[0.0], passes[1.0]
    close(dense.gradients, sparse.gradients)
    assert torch.equal(dense.fired, sparse.fired) and dense.loss == pytest.approx(sparse.loss, rel=1e-5)
    assert 0.3 * 40 < float(dense.fired.sum()) / 48 < 0.7 * 40


def test_a_jumprelu_transcoders_gradients_are_autograds() -> None:
    from sae_lens.saes.jumprelu_sae import JumpReLU, Step

    spec = SAESpec("in", 12, 30, "jumprelu-transcoder", hook_out="out", d_out=5, target_l0=0, sparsity=0.3)
    sae, x, y = LensTrainer(spec).sae, rows(12), rows(5, seed=1)
    sae.threshold.data.uniform_(0.0, 0.2)
    for parameter in sae.parameters():
        parameter.requires_grad_()
    scores = x @ sae.W_enc + sae.b_enc
    features = JumpReLU.apply(scores, sae.threshold, sae.bandwidth, False)
    count = Step.apply(scores, sae.threshold, sae.bandwidth, False).sum(1)
    loss = ((features @ sae.W_dec + sae.b_dec - y).square().sum(1) + 0.3 * count).mean()
    loss.backward()
    found = differentiated(sae, "jumprelu-transcoder", x, 0.3, y)
    assert found.loss == pytest.approx(loss.item(), rel=1e-5) and found.gradients["W_dec"].shape == (30, 5)
    close(found.gradients, {name: parameter.grad for name, parameter in sae.named_parameters()})
    assert float(found.gradients["threshold"].abs().max()) > 0


@pytest.mark.parametrize("architecture", ["jumprelu", "gated"])
def test_the_chosen_features_give_the_shift_that_all_scores_give(architecture) -> None:
    """Where they do not decide it (fewer chosen than asked for) they are not asked."""
    used = 0
    for target in (3.0, 12.0):
        trainer = LensTrainer(SAESpec("h", 16, 40, architecture, target_l0=target))
        whole = LensTrainer(SAESpec("h", 16, 40, architecture, target_l0=target))
        for number in range(6):
            batch = rows(16, seed=number)
            trainer.step(batch)
            whole._shift_of_chosen = lambda found, limit: None  # type: ignore[method-assign]
            whole.step(batch)
            found = differentiated(trainer.sae, architecture, batch, 1.0)
            limit = trainer.sae.threshold.data if architecture == "jumprelu" else -trainer.sae.b_gate.data
            used += trainer._shift_of_chosen(found, limit) is not None
        for name, value in whole.state().items():
            assert torch.equal(value, trainer.state()[name]), name
    assert used > 0


def test_a_jumprelu_transcoder_starts_from_the_means_and_two_sets_of_directions() -> None:
    spec = SAESpec("in", 12, 30, "jumprelu-transcoder", hook_out="out", d_out=12, target_l0=4)
    made = TrainedSAE(spec, LensTrainer(spec))
    block = {"in": rows(12) + 3, "out": 2 * rows(12, seed=1) - 1}
    made.start(block)
    torch.testing.assert_close(made.trainer.center, block["in"].mean(0) * made.scale_in)
    torch.testing.assert_close(made.trainer.decoder_bias, block["out"].mean(0) * made.scale_out)
    cosine = torch.nn.functional.cosine_similarity(made.trainer.sae.W_enc.data.T, made.trainer.sae.W_dec.data)
    assert float(cosine.abs().mean()) < 0.5
    assert made.step(block)[0]["l0"] == pytest.approx(4, abs=0.2)
    other = TrainedSAE(spec, LensTrainer(spec))
    other.load_state({name: value.clone() for name, value in made.state().items()})
    assert made.step(block) == other.step(block)
    for name, value in made.state().items():
        assert torch.equal(value, other.state()[name]), name
