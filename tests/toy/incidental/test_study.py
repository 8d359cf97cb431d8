"""Gradients against autograd, counts against a simulation of the chance law, noise against its moments."""

import math

import numpy as np
import pytest
import torch

from eval.errors import UserError
from toy.incidental import counts, dynamics, initialisation
from toy.incidental.noise import EXCESS_KURTOSIS, draw_noise, noise_steps
from toy.incidental.study import path_score
from toy.incidental.training import IncidentalSetting, gradient, initial_weights, loss, train
from toy.safeguards import check_finite, check_memory


@pytest.mark.parametrize("noisy", [False, True])
def test_analytic_gradient_equals_autograd(noisy: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(5, 7, 11, generator=generator, dtype=torch.float64)
    weights[0, 2] = 0  # a dead row: ReLU'(0) and sign(0) matter here
    noise = torch.randn(5, 7, 11, generator=generator, dtype=torch.float64) if noisy else None
    leaf = weights.clone().requires_grad_()
    loss(leaf, 0.01, 0.0 if noise is None else noise).sum().backward()
    assert leaf.grad is not None
    assert (gradient(weights, 0.01, noise) - leaf.grad).abs().max() < 1e-12


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_batched_training_equals_one_model_at_a_time_by_autograd(optimiser: str) -> None:
    setting = IncidentalSetting(
        n_features=4, n_hidden=6, steps=40, dtype="float64", optimiser=optimiser, learning_rate=0.01
    )
    batched = train(setting, seeds=[3, 8])
    for index, seed in enumerate((3, 8)):
        weights = torch.nn.Parameter(initial_weights(setting, [seed]))
        kind = torch.optim.AdamW if optimiser == "adamw" else torch.optim.SGD
        single = kind([weights], lr=0.01, weight_decay=0.01)
        for _ in range(40):
            single.zero_grad()
            value = loss(weights, setting.l1).sum()
            value.backward()
            single.step()
        assert (weights.detach()[0] - batched.final[index]).abs().max() < 1e-12


def test_initial_weights_are_kept_and_depend_on_their_own_seed_alone() -> None:
    setting = IncidentalSetting(n_features=4, n_hidden=6, steps=5, noise="laplace")
    both, alone = train(setting, seeds=[1, 2]), train(setting, seeds=[2])
    assert torch.equal(both.initial, initial_weights(setting, [1, 2]))
    assert not torch.equal(both.initial, both.final)
    assert torch.allclose(both.final[1], alone.final[0], atol=1e-6)
    assert torch.equal(train(setting, seeds=[1, 2]).final, both.final)


def test_snapshots_hold_the_steps_asked_for() -> None:
    models = train(IncidentalSetting(n_features=3, n_hidden=4, steps=10), seeds=2, snapshot_steps=(0, 10, 99))
    assert models.snapshot_steps == (0, 10)
    assert torch.equal(models.snapshots[0], models.initial)
    assert torch.equal(models.snapshots[1], models.final)


@pytest.mark.parametrize(("n", "m"), [(16, 64), (64, 128), (5, 3)])
def test_occupancy_law_equals_throwing_balls(n: int, m: int) -> None:
    generator = np.random.default_rng(1)
    place, sign = generator.integers(m, size=(20_000, n)), generator.integers(2, size=(20_000, n))
    cells = np.zeros((20_000, m, 2), bool)
    cells[np.arange(20_000)[:, None], place, sign] = True
    thrown = cells.all(2).sum(1)
    assert thrown.mean() == pytest.approx(counts.occupancy_law(n, m), abs=4 * thrown.std() / math.sqrt(20_000))


def test_occupancy_law_reference_values_and_its_leading_order() -> None:
    assert counts.occupancy_law(64, 128) == pytest.approx(6.21, abs=0.005)
    assert counts.occupancy_law(64, 256) == pytest.approx(3.49, abs=0.005)
    assert counts.leading_order(64, 128) == 8
    assert counts.occupancy_law(100, 10**6) == pytest.approx(counts.leading_order(100, 10**6), rel=0.02)
    assert counts.occupancy_law(1, 9) == pytest.approx(0)


def test_polysemantic_and_converged_on_planted_weights() -> None:
    weights = torch.zeros(1, 3, 4)
    weights[0, 0, 1], weights[0, 1, 1], weights[0, 2, 3] = 1.0, -0.95, 1.3
    assert counts.polysemantic_count(weights).tolist() == [1]
    assert counts.converged_share(weights) == 1
    weights[0, 0, 0] = 0.7  # feature 0 is on two neurons now
    assert counts.converged_share(weights) == pytest.approx(2 / 3)


def test_trained_models_agree_with_the_occupancy_law() -> None:
    result = counts.count_sizes([(16, 64)], 64)[0]
    assert result.converged > 0.95
    assert result.mean.low is not None and result.mean.high is not None
    assert result.mean.low - 0.15 * result.occupancy < result.occupancy < result.mean.high + 0.15 * result.occupancy
    assert result.untrained.value == 0


@pytest.mark.parametrize("kind", list(EXCESS_KURTOSIS))
def test_noise_has_unit_variance_and_its_kurtosis(kind: str) -> None:
    drawn = draw_noise(kind, (1_000_000,), torch.Generator().manual_seed(0), torch.float64)
    assert abs(float(drawn.mean())) < 0.005
    assert float(drawn.var()) == pytest.approx(1, abs=0.01)
    excess = float(drawn.pow(4).mean() / drawn.var() ** 2 - 3)
    assert excess == pytest.approx(EXCESS_KURTOSIS[kind], abs=0.5 if kind == "t" else 0.1)


def test_noise_does_not_depend_on_how_it_is_chunked() -> None:
    long = list(noise_steps("gaussian", 2.0, [4], (2, 3), 6, torch.float64))
    assert len(long) == 6
    assert torch.equal(long[0], next(noise_steps("gaussian", 2.0, [4], (2, 3), 6, torch.float64)))


def test_negative_kurtosis_raises_and_positive_lowers_the_fourth_norm() -> None:
    def fourth(kind: str) -> float:
        setting = IncidentalSetting(
            n_features=8, n_hidden=16, l1=0, noise=kind, optimiser="sgd", learning_rate=0.02, weight_decay=0, steps=4000
        )
        return float(train(setting, 8).final.pow(4).sum(2).mean())

    assert fourth("rademacher") > 0.3 > 3 / 18 > 0.14 > fourth("laplace")


def test_row_decay_stays_near_the_law_and_does_not_depend_on_the_time_step() -> None:
    coarse = dynamics.row_decay(10_000, n_seeds=8, l1=2e-3)
    fine = dynamics.row_decay(10_000, n_seeds=8, l1=2e-3, time_step=0.05)
    assert coarse.ratio[-1].mean() == pytest.approx(float(fine.ratio[-1].mean()), rel=0.01)
    inside = (coarse.scaled_time > 0.003) & (coarse.scaled_time < 1)
    mean = coarse.ratio[inside].mean(1)
    assert 0.8 < mean.min() and mean.max() < 1.6
    assert coarse.survivors[-1].max() < 10 < 1000 < coarse.survivors[0].min()


def test_a_path_is_judged_where_it_is_farthest_from_the_law() -> None:
    inside, outside = torch.tensor([[1.0, 1.1], [1.2, 1.3]]), torch.tensor([[1.0, 1.1], [4.0, 4.1]])
    assert path_score(inside).value == pytest.approx(1.25)
    assert path_score(inside).interval == pytest.approx([1.05 - 0.6353, 1.25 + 0.6353], abs=1e-3)
    assert path_score(outside).interval == pytest.approx([4.05 - 0.6353, 4.05 + 0.6353], abs=1e-3)
    assert path_score(inside[:, :1]).interval is None


def test_initialisation_on_planted_winners() -> None:
    initial = torch.tensor([[[0.5, 0.1, -0.2], [0.1, 0.3, 0.2]]])
    final = torch.tensor([[[1.0, 0, 0], [0, 0, 1.0]]])
    result = initialisation.initialisation(initial, final, "sgd")
    assert result.kept.value == 0.5
    assert result.kept.interval is None and result.kept.interval_reason == "one model says nothing about the spread"
    assert result.kept_standard_error is None
    assert result.diagonal.value == pytest.approx((0.5 + 0.2) / 2)
    assert result.off_diagonal == pytest.approx((-0.2 + 0.1) / 2)
    assert result.winner_rank == pytest.approx(0.25)
    assert result.rank_histogram[:2] == (0.5, 0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_features": 1}, "expected n a whole number >= 2; got 1"),
        ({"n_hidden": 0}, "expected m a whole number >= 1; got 0"),
        ({"l1": -1.0}, "expected lambda >= 0; got -1"),
        ({"learning_rate": 0.0}, "expected a learning rate > 0; got 0"),
        ({"noise": "gausian"}, "unknown noise 'gausian': did you mean gaussian"),
        ({"optimiser": "adam"}, "unknown optimiser 'adam': did you mean adamw"),
    ],
)
def test_settings_outside_their_range_are_one_line(change: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        train(IncidentalSetting(**{"steps": 1, **change}), 1)


def test_no_pressure_for_sparsity_warns() -> None:
    with pytest.warns(UserWarning, match="lambda = 0 and no noise: nothing presses for sparsity"):
        train(IncidentalSetting(l1=0, steps=1, n_features=2, n_hidden=2), 1)


def test_a_diverging_training_stops_and_names_the_seed() -> None:
    setting = IncidentalSetting(n_features=4, n_hidden=4, optimiser="sgd", learning_rate=1e6, steps=2000)
    with pytest.raises(UserError, match="got NaN or infinity at step 500 with seed 11, 12; lower the learning rate"):
        train(setting, seeds=[11, 12])
    check_finite(torch.zeros(2, 1), [1, 2], 0)


def test_too_many_features_for_the_memory_are_refused_before_training() -> None:
    with pytest.raises(UserError, match="expected 64 models .* fit into memory; it needs about .* GiB"):
        train(IncidentalSetting(n_features=10**6, n_hidden=10**6), 64)
    assert check_memory(10, "x", available=100) == 10
