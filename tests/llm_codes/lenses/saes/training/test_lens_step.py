"""Architectures that run sae-lens' classes in our loop: equal to `sae_lens.SAETrainer`, resumed bitwise, NaN-proof."""

import copy
import math

import pytest
import torch

from eval.torchvision_operators import declare_missing_operators
from llm_codes.lenses.saes.training.lens_step import LensTrainer
from llm_codes.lenses.saes.training.specification import SAESpec

ARCHITECTURES = ("standard", "jumprelu", "gated")


def specification(architecture, **options):
    settings = {"k": 4, "learning_rate": 1e-2, "target_l0": 4.0, "sparsity": 0.1} | options
    return SAESpec("h", 16, 32, architecture=architecture, **settings)


@pytest.fixture(scope="module")
def batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(64, 16, generator=generator) for _ in range(24)]


def copied(trainer):
    return {name: value.clone() for name, value in trainer.state().items()}


def different(first, second):
    return [name for name in first if not torch.equal(first[name], second[name])]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_twelve_steps_are_those_of_sae_lens_own_trainer(architecture, batches):
    declare_missing_operators()
    from sae_lens import SAETrainer
    from sae_lens.config import SAETrainerConfig

    mine = LensTrainer(specification(architecture, target_l0=0), dead_after=5)  # theirs keeps its coefficient
    start = copied(mine)
    config = SAETrainerConfig(
        total_training_samples=64 * 1000, train_batch_size_samples=64, lr=1e-2, lr_end=1e-2, dead_feature_window=5
    )
    theirs = SAETrainer(config, copy.deepcopy(mine.sae), iter([]))
    for batch in batches[:12]:
        expected = theirs.step(batch).loss.item()
        theirs.n_training_steps += 1
        assert mine.step(batch)["loss"] == pytest.approx(expected, rel=1e-5)
    for name, value in theirs.sae.state_dict().items():
        assert torch.allclose(mine.sae.state_dict()[name], value, atol=1e-5), name
    assert "sae/W_dec" in different(start, mine.state())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_continuation_is_bitwise_and_takes_nothing_from_its_own_seed(architecture, tied, batches):
    whole, first = (LensTrainer(specification(architecture, tied=tied), warmup_steps=5, dead_after=5) for _ in range(2))
    for batch in batches:
        whole.step(batch)
    for batch in batches[:7]:
        first.step(batch)
    second = LensTrainer(specification(architecture, tied=tied, seed=9), warmup_steps=5, dead_after=5)
    assert not torch.equal(first.sae.W_dec, second.sae.W_dec)
    second.load_state(copied(first))
    assert different(copied(first), second.state()) == []
    for batch in batches[7:]:
        second.step(batch)
    assert different(whole.state(), second.state()) == []
    if tied:
        assert torch.equal(second.sae.W_enc, second.sae.W_dec.T)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_nan_batch_changes_nothing(architecture, tied, batches):
    trainer = LensTrainer(specification(architecture, tied=tied))
    trainer.step(batches[0])
    before = copied(trainer)
    broken = batches[1].clone()
    broken[0, 0] = math.nan
    assert math.isnan(trainer.step(broken)["loss"])
    assert different(before, trainer.state()) == []
    assert math.isfinite(trainer.step(batches[1])["loss"])


def test_the_tied_gradient_is_that_of_one_matrix(batches):
    """Adam's first step goes against the sign of the gradient: here that of the tied loss, written out."""
    trainer = LensTrainer(specification("standard", tied=True, learning_rate=1e-3))
    sae, x = trainer.sae, batches[0]
    shared = sae.W_dec.detach().clone().requires_grad_()
    features = ((x - sae.b_dec.detach() * sae.cfg.apply_b_dec_to_input) @ shared.T + sae.b_enc.detach()).relu()
    error = features @ shared + sae.b_dec.detach() - x
    (error.square().sum(1).mean() + 0.1 * (features * shared.norm(dim=1)).sum(1).mean()).backward()
    gradient, before = shared.grad, sae.W_dec.detach().clone()
    trainer.step(x)
    strong = gradient.abs() > 1e-3 * gradient.abs().max()
    assert torch.equal((sae.W_dec.detach() - before).sign()[strong], -gradient.sign()[strong])


@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "gated"])
def test_the_target_is_reached_and_held(architecture):
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(48, 16, generator=generator)
    trainer = LensTrainer(
        specification(architecture, target_l0=6.0, sparsity=1.0, learning_rate=3e-3), dead_after=50, total_steps=600
    )
    sizes = []
    for _ in range(600):
        planted = (torch.rand(256, 48, generator=generator) < 0.1) * torch.rand(256, 48, generator=generator)
        sizes.append(trainer.step(planted @ mixing)["l0"])
    assert abs(sum(sizes[-100:]) / 100 - 6.0) < 0.6


@pytest.mark.parametrize("architecture", ["jumprelu", "gated"])
def test_a_gate_is_at_the_target_from_the_first_steps_and_a_jumps_coefficient_is_the_one_given(architecture):
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(48, 16, generator=generator)
    sizes = {}
    for target in (6.0, 0.0):  # without a target the coefficient alone decides: nowhere near in as many steps
        trainer = LensTrainer(specification(architecture, target_l0=target, sparsity=0.1, learning_rate=1e-3))
        seen = []
        for _ in range(60):
            planted = (torch.rand(256, 48, generator=generator) < 0.1) * torch.rand(256, 48, generator=generator)
            seen.append(trainer.step(planted @ mixing)["l0"])
        sizes[target] = sum(seen[-10:]) / 10
        assert (trainer.sparsity_factor == 1.0) == (architecture == "jumprelu" or target == 0)
        assert target == 0 or all(abs(l0 / target - 1) < 0.25 for l0 in seen)
    assert abs(sizes[6.0] - 6.0) < 0.6 and sizes[0.0] > 9  # in training; what is saved is shifted once more


def test_a_standard_dictionary_arrives_at_its_target_without_killing_features():
    """Asked for the target at once, the coefficient overshoots in the first steps and a third of the features dies."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(48, 16, generator=generator)
    trainer = LensTrainer(specification("standard", target_l0=4.0, sparsity=1.0, learning_rate=3e-3), total_steps=400)
    seen = []
    for _ in range(400):
        planted = (torch.rand(256, 48, generator=generator) < 0.1) * torch.rand(256, 48, generator=generator)
        seen.append(trainer.step(planted @ mixing)["l0"])
    assert seen[0] > 12 and seen[100] > 5 and abs(sum(seen[-40:]) / 40 - 4.0) < 0.3
    assert float((trainer.since_fired > 20).float().mean()) < 0.05
