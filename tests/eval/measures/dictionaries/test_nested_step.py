"""The Matryoshka step against sae-lens' own trainer; bitwise continuation; NaN batches; what makes no widths."""

import math

import pytest
import torch

from eval.errors import UserError
from eval.measures.dictionaries.nested_step import NestedTrainer
from eval.measures.dictionaries.step_options import StepOptions
from eval.torchvision_operators import declare_missing_operators


def batches(count):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(64, 16, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("dead_window", [1000, 2])
def test_twelve_steps_equal_sae_lens(dead_window):
    """With a dead window of 2 the auxiliary loss is at work too."""
    declare_missing_operators()
    from sae_lens import MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig, SAETrainer
    from sae_lens.config import SAETrainerConfig

    torch.manual_seed(0)
    made = MatryoshkaBatchTopKTrainingSAEConfig(d_in=16, d_sae=64, k=4, matryoshka_widths=[16, 32, 64])
    config = SAETrainerConfig(
        total_training_samples=64 * 1000,
        train_batch_size_samples=64,
        lr=1e-3,
        lr_end=1e-3,
        dead_feature_window=dead_window,
    )
    trainer = SAETrainer(config, MatryoshkaBatchTopKTrainingSAE(made), iter([]))
    mine = NestedTrainer(
        StepOptions(16, 64, 4, batch_topk=True, nested=(16, 32), learning_rate=1e-3, dead_after=dead_window)
    )
    mine.encoder.copy_(trainer.sae.W_enc.T)
    mine.decoder.copy_(trainer.sae.W_dec)
    for bias in (mine.encoder_bias, trainer.sae.b_enc.data):
        bias[:8] = -5.0  # never active
    auxiliary = 0.0
    for batch in batches(12):
        theirs = trainer.step(batch)
        trainer.n_training_steps += 1
        assert mine.step(batch)["loss"] == pytest.approx(theirs.loss.item(), rel=1e-4)
        auxiliary = max(auxiliary, float(theirs.losses["auxiliary_reconstruction_loss"]))
    assert (auxiliary > 0) == (dead_window == 2)
    for own, weight in ((mine.encoder, trainer.sae.W_enc.T), (mine.decoder, trainer.sae.W_dec)):
        # Adam divides by the gradient's size: entries with near-zero gradients move by rounding
        assert (own - weight).abs().max() < 3e-4
    assert torch.allclose(mine.decoder_bias, trainer.sae.b_dec, atol=1e-5)


def test_the_first_features_carry_more_than_without():
    """What the nested loss is for: a quarter of the features reconstructs better than a quarter of a plain one's."""
    left = {}
    for nested in ((), (16,)):
        trainer = NestedTrainer(StepOptions(16, 64, 4, batch_topk=True, nested=nested, learning_rate=1e-2))
        for batch in batches(200):
            trainer.step(batch)
        x = batches(1)[0]
        read = trainer.read(x)
        made = torch.zeros(64, 64).scatter_add_(1, read.indices, read.values)[:, :16] @ trainer.decoder[:16]
        left[nested] = float((made + trainer.decoder_bias - x).square().mean())
    assert left[(16,)] < 0.9 * left[()]


def test_a_continuation_is_bitwise_and_a_nan_batch_changes_nothing():
    options = StepOptions(16, 64, 4, batch_topk=True, nested=(16, 32), dead_after=3)
    whole, second = NestedTrainer(options), NestedTrainer(options)
    for batch in batches(5):
        whole.step(batch)
    second.load_state({name: value.clone() for name, value in whole.state().items()})
    broken = batches(1)[0]
    broken[3, 2] = math.nan
    assert math.isnan(second.step(broken)["loss"])
    for batch in batches(5):
        whole.step(batch)
        second.step(batch)
    assert all(torch.equal(value, second.state()[name]) for name, value in whole.state().items())


@pytest.mark.parametrize("nested", [(32, 16), (0,), (64,)])
def test_widths_that_do_not_grow_are_refused(nested):
    with pytest.raises(UserError, match="expected nested widths that grow, from 1 to below 64 features"):
        StepOptions(16, 64, 4, nested=nested)
