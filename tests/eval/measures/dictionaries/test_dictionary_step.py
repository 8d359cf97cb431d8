"""The sparse TopK step against sae-lens' own trainer, and against autograd; bitwise continuation; NaN batches."""

import dataclasses
import math

import pytest
import torch

from eval.errors import UserError
from eval.measures.dictionaries.dictionary import TopKDictionary, encode_rows
from eval.measures.dictionaries.dictionary_kernels import (
    accumulate_active,
    accumulate_both,
    decode_active,
    dots_active,
    sums_by_feature,
)
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.step_options import StepOptions, learning_rate_at


def batches(count, rows=64, width=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(40, width, generator=generator)
    for _ in range(count):
        on = torch.rand(rows, 40, generator=generator) < 0.1
        yield (on * torch.rand(rows, 40, generator=generator)) @ mixing


def lens_trainer(width, features, k, rows, dead_window, **trainer):
    from eval.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig

    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=width, d_sae=features, k=k))
    config = SAETrainerConfig(
        total_training_samples=rows * 1000,
        train_batch_size_samples=rows,
        lr_end=1e-3,
        lr=1e-3,
        dead_feature_window=dead_window,
        **trainer,
    )
    return SAETrainer(config, sae, iter([]))


@pytest.mark.parametrize("dead_window", [1000, 3])
def test_twelve_steps_equal_sae_lens(dead_window):
    """With dead_window=3 the auxiliary loss is at work too."""
    torch.manual_seed(0)
    trainer = lens_trainer(16, 64, 4, 64, dead_window)
    mine = TopKTrainer(StepOptions(16, 64, 4, learning_rate=1e-3, dead_after=dead_window))
    mine.encoder.copy_(trainer.sae.W_enc.T)
    mine.decoder.copy_(trainer.sae.W_dec)
    for batch in batches(12):
        theirs = trainer.step(batch)
        trainer.n_training_steps += 1
        ours = mine.step(batch)
        assert ours["loss"] == pytest.approx(theirs.loss.item(), rel=1e-4)
    if dead_window == 3:
        assert theirs.losses["auxiliary_reconstruction_loss"] > 0
    for name, theirs_weight in (
        ("encoder", trainer.sae.W_enc.T),
        ("decoder", trainer.sae.W_dec),
        ("encoder_bias", trainer.sae.b_enc),
        ("decoder_bias", trainer.sae.b_dec),
    ):
        # Adam divides by the gradient's size: entries with near-zero gradients move by rounding
        assert (getattr(mine, name) - theirs_weight).abs().max() < 3e-4, name


def test_kernels_are_the_dense_products():
    generator = torch.Generator().manual_seed(0)
    indices = torch.stack([torch.randperm(20, generator=generator)[:3] for _ in range(7)])
    values = torch.rand(7, 3, generator=generator)
    values[2, 1] = 0
    vectors, rows = torch.randn(20, 5, generator=generator), torch.randn(7, 5, generator=generator)
    dense = torch.zeros(7, 20).scatter_add_(1, indices, values)
    assert torch.allclose(decode_active(indices, values, vectors), dense @ vectors, atol=1e-6)
    assert torch.allclose(dots_active(rows, vectors, indices), (rows @ vectors.T).gather(1, indices), atol=1e-5)
    assert torch.allclose(accumulate_active(indices, values, rows, 20), dense.T @ rows, atol=1e-6)
    counts = torch.tensor([3, 0, 2, 3, 1, 3, 3])
    cut = values * (torch.arange(3) < counts[:, None])
    kept = torch.zeros(7, 20).scatter_add_(1, indices, cut)
    assert torch.allclose(decode_active(indices, values, vectors, counts), kept @ vectors, atol=1e-6)
    expected = (rows @ vectors.T).gather(1, indices) * (torch.arange(3) < counts[:, None])
    assert torch.allclose(dots_active(rows, vectors, indices, counts), expected, atol=1e-5)
    assert torch.allclose(sums_by_feature(indices, values, counts, 20), kept.sum(0), atol=1e-6)


def test_two_gradients_on_one_sort_are_those_of_two_and_a_pull_is_added():
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(0, 20, (7, 4), generator=generator)
    counts = torch.tensor([4, 0, 2, 4, 1, 3, 4])
    first, second = torch.randn(2, 7, 4, generator=generator)
    first[0, 1] = 0
    left, right = torch.randn(7, 5, generator=generator), torch.randn(7, 3, generator=generator)
    rates, pulled = torch.rand(20, generator=generator), torch.randn(20, 5, generator=generator)
    real = (torch.arange(4) < counts[:, None]).float()
    for shrink in (None, (rates, pulled)):
        found = accumulate_both(indices, counts, (first, left), (second, right), 20, shrink)
        sums = sums_by_feature(indices, first, counts, 20)
        expected = accumulate_active(indices, first * real, left, 20)
        expected = expected if shrink is None else expected + (rates * sums)[:, None] * pulled
        assert torch.allclose(found.first, expected, atol=1e-6)
        assert torch.allclose(found.second, accumulate_active(indices, second * real, right, 20), atol=1e-6)
        assert torch.allclose(found.first_sums, sums, atol=1e-6)
        assert torch.allclose(found.second_sums, sums_by_feature(indices, second, counts, 20), atol=1e-6)
        assert float(found.counts.sum()) == int(counts.sum()) - 1


def test_tied_gradient_is_autograds():
    trainer = TopKTrainer(StepOptions(16, 64, 4, tied=True, auxiliary=0.0))
    trainer.encoder_bias.normal_(0, 0.01, generator=torch.Generator().manual_seed(0))
    x = next(batches(1))
    d, b, e = (t.clone().requires_grad_() for t in (trainer.decoder, trainer.decoder_bias, trainer.encoder_bias))
    pre = (x - b) @ d.T + e
    top = (pre * d.norm(dim=1)).topk(4, dim=1).indices
    features = torch.zeros_like(pre).scatter(1, top, pre.gather(1, top).relu())
    loss = (features @ d + b - x).square().sum(1).mean()
    loss.backward()
    seen = {}
    trainer.apply = lambda gradients, norm: seen.update(gradients)
    assert trainer.step(x)["loss"] == pytest.approx(float(loss), rel=1e-5)
    for name, tensor in (("decoder", d), ("decoder_bias", b), ("encoder_bias", e)):
        assert torch.allclose(seen[name], tensor.grad, atol=1e-4), name


def test_a_transcoder_learns_another_space_and_batch_topk_keeps_k_on_average():
    generator = torch.Generator().manual_seed(1)
    mapping = torch.randn(16, 6, generator=generator)
    trainer = TopKTrainer(StepOptions(16, 64, 4, d_out=6, batch_topk=True, learning_rate=3e-3))
    seen = [trainer.step(batch, (batch @ mapping).relu()) for batch in batches(150)]
    assert seen[-1]["fvu"] < 0.6 * seen[0]["fvu"]
    assert seen[-1]["l0"] == pytest.approx(4, abs=0.2)
    x = next(batches(1, rows=512, seed=5))
    rows = encode_rows(trainer.dictionary(), x)
    assert (rows.values > 0).sum() / len(x) == pytest.approx(4, abs=2)


def test_continuing_from_the_state_is_bitwise():
    options = StepOptions(16, 64, 4, dead_after=3, total_steps=20, decay_steps=5, warmup_steps=3)
    whole, first = TopKTrainer(options), TopKTrainer(options)
    for number, batch in enumerate(batches(20)):
        whole.step(batch)
        if number < 9:
            first.step(batch)
    second = TopKTrainer(StepOptions(16, 64, 4, dead_after=3, total_steps=20, decay_steps=5, warmup_steps=3, seed=9))
    second.load_state({name: value.clone() for name, value in first.state().items()})
    for number, batch in enumerate(batches(20)):
        if number >= 9:
            second.step(batch)
    for name, value in whole.state().items():
        assert torch.equal(value, second.state()[name]), name


def test_a_nan_batch_changes_nothing():
    trainer = TopKTrainer(StepOptions(16, 64, 4))
    for batch in batches(3):
        trainer.step(batch)
    before = {name: value.clone() for name, value in trainer.state().items()}
    broken = next(batches(1))
    broken[3, 2] = float("nan")
    assert math.isnan(trainer.step(broken)["loss"])
    assert all(torch.equal(before[name], value) for name, value in trainer.state().items())


def test_schedule_and_errors():
    options = StepOptions(4, 8, 2, learning_rate=1.0, warmup_steps=4, decay_steps=5, total_steps=20)
    assert [learning_rate_at(options, step) for step in (0, 3, 10, 16, 19)] == pytest.approx([0.25, 1, 1, 0.8, 0.2])
    with pytest.raises(UserError, match="expected 1 <= k <= 8 features; got k=9; lower --k"):
        StepOptions(4, 8, 9)
    with pytest.raises(UserError, match="expected an untied transcoder"):
        StepOptions(4, 8, 2, d_out=4, tied=True)
    trainer = TopKTrainer(StepOptions(4, 8, 2))
    with pytest.raises(UserError, match="expected activations 4 wide; got 5; was this dictionary trained at another"):
        trainer.dictionary().encode_rows(torch.zeros(3, 5))


def test_a_threshold_keeps_what_writes_more_than_it_in_the_encoders_own_units():
    decoder = torch.tensor([[3.0, 0.0], [0.0, 0.5], [1.0, 0.0]])
    dictionary = TopKDictionary(
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([0.0, 0.0, -1.0]), decoder,
        torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]), threshold=1.0,
    )  # fmt: skip
    x = torch.tensor([[2.0, 1.0], [1.5, 2.9], [0.0, 0.0]])
    features = torch.tensor([[1.0, 0.0, 0.0], [0.5, 2.9, 2.4], [0.0, 0.0, 0.0]])  # what writes 1 or less is cut
    assert torch.allclose(dictionary.encode(x), features)
    assert torch.allclose(dictionary.decode_rows(dictionary.encode_rows(x)), features @ decoder + dictionary.offset)
    two = dataclasses.replace(dictionary, k=2, threshold=None)
    assert torch.allclose(two.encode(x)[1], torch.tensor([0.5, 0.0, 2.4]))
    wide = dataclasses.replace(dictionary, k=9, threshold=None)
    assert torch.allclose(wide.encode(x)[1], torch.tensor([0.5, 2.9, 2.4])) and wide.n_features == 3
    assert torch.allclose(encode_rows(dictionary, x, batch_size=2).dense(), features)


def test_fvu_and_shares_of_a_step_are_those_of_its_batch_before_it():
    trainer = TopKTrainer(StepOptions(16, 64, 4, dead_after=2))
    assert torch.allclose(trainer.decoder.norm(dim=1), torch.full((64,), 0.1))
    assert trainer.decoder_bias.shape == (16,) and torch.equal(trainer.encoder, trainer.decoder)
    for number, x in enumerate(batches(5)):
        with torch.no_grad():
            rows = trainer.dictionary().encode_rows(x)
            error = trainer.dictionary().decode_rows(rows) - x
        seen = trainer.step(x)
        assert seen["fvu"] == pytest.approx(float(error.square().sum() / (x - x.mean(0)).square().sum()), rel=1e-4)
        assert seen["l0"] == pytest.approx(float((rows.values > 0).float().sum(1).mean()))
        assert seen["dead_share"] == float((trainer.since_fired > 2).float().mean()) and (number < 2) <= (
            seen["dead_share"] == 0
        )
    assert math.isnan(TopKTrainer(StepOptions(16, 64, 4)).step(torch.ones(3, 16))["fvu"])


def test_a_gradient_is_scaled_down_to_the_clip_and_never_up():
    for norm, factor in ((0.5, 1.0), (4.0, 0.5)):
        trainer = TopKTrainer(StepOptions(4, 8, 2, clip=2.0))
        gradients = {name: torch.ones_like(value) for name, value in trainer.parameters().items()}
        trainer.apply(gradients, norm)
        moment = trainer.optimizer.state[trainer.decoder]["exp_avg"]  # a tenth of the first gradient
        assert torch.allclose(moment, torch.full_like(moment, 0.1 * factor), rtol=1e-4)


def test_a_transcoder_starts_with_two_sets_of_directions_and_a_tied_one_with_one():
    trainer = TopKTrainer(StepOptions(6, 8, 2, d_out=5, decoder_norm=0.3))
    assert trainer.encoder.shape == (8, 6) and trainer.decoder.shape == (8, 5)
    for weight in (trainer.encoder, trainer.decoder):
        assert torch.allclose(weight.norm(dim=1), torch.full((8,), 0.3))
    assert trainer.input_bias is trainer.center
    tied = TopKTrainer(StepOptions(6, 8, 2, tied=True))
    assert tied.encoder is tied.decoder and "encoder" not in tied.parameters()


def test_the_rate_warms_up_and_decays_at_its_ends():
    options = StepOptions(4, 8, 8, learning_rate=2.0, warmup_steps=2, decay_steps=2, total_steps=6)
    assert [learning_rate_at(options, step) for step in range(8)] == [1, 2, 2, 2, 2, 1, 0, 0]
    assert learning_rate_at(StepOptions(4, 8, 2, learning_rate=2.0), 100) == 2.0
    with pytest.raises(UserError, match="expected 1 <= k <= 8 features; got k=0"):
        StepOptions(4, 8, 0)


def test_batch_topk_keeps_exactly_k_per_row_of_the_batch():
    trainer = TopKTrainer(StepOptions(16, 64, 4, batch_topk=True))
    scores = torch.rand(10, 64, generator=torch.Generator().manual_seed(0)) + 0.1
    scores[0, :30] += 5  # one row holds most of them
    chosen, found = trainer._choose(scores)
    indices, values = chosen.indices, chosen.values
    assert int((values > 0).sum()) == 40 and int((values[0] > 0).sum()) >= 30
    smallest = scores.flatten().topk(40).values.min()
    assert found == pytest.approx(float(smallest)) and float(values[values > 0].min()) == float(smallest)
    assert torch.equal(scores.gather(1, indices)[values > 0], values[values > 0])


def test_a_skip_maps_gradient_is_autograds_and_it_takes_what_is_linear():
    """Planted: a linear map of the input and two features of it; the features alone cannot write the map."""
    trainer = TopKTrainer(StepOptions(16, 64, 4, d_out=6, skip=True, auxiliary=0.0))
    generator = torch.Generator().manual_seed(2)
    trainer.skip.normal_(0, 0.1, generator=generator)
    trainer.center.normal_(0, 0.1, generator=generator)
    x, y = next(batches(1)), torch.randn(64, 6, generator=generator)
    names = ("encoder", "encoder_bias", "decoder", "decoder_bias", "skip")
    own = {name: getattr(trainer, name).clone().requires_grad_() for name in names}
    centred = x - trainer.center
    pre = centred @ own["encoder"].T + own["encoder_bias"]
    top = (pre * own["decoder"].norm(dim=1)).topk(4, dim=1).indices
    features = torch.zeros_like(pre).scatter(1, top, pre.gather(1, top).relu())
    made = features @ own["decoder"] + own["decoder_bias"] + centred @ own["skip"]
    loss = (made - y).square().sum(1).mean()
    loss.backward()
    seen = {}
    trainer.apply = lambda gradients, norm: seen.update(gradients)
    assert trainer.step(x, y)["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    for name in names:
        assert torch.allclose(seen[name], own[name].grad, atol=1e-4), name
    mapping, found = torch.randn(16, 6, generator=generator), {}
    for skip in (True, False):
        learner = TopKTrainer(StepOptions(16, 8, 1, d_out=6, skip=skip, batch_topk=True, learning_rate=1e-2))
        for batch in batches(300, seed=1):
            found[skip] = learner.step(batch, batch @ mapping)["fvu"]
    assert found[True] < 0.02 < 0.2 < found[False]


def test_a_skip_map_without_a_second_place_is_refused():
    with pytest.raises(UserError, match="expected a transcoder for a skip map; got skip=True with d_out=0; set d_out"):
        StepOptions(4, 8, 2, skip=True)
