"""Cross-layer transcoders: a dense float64 NumPy oracle, planted features that write to two layers, one layer alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from eval.measures.dictionaries.cross_layer_step import CrossLayerTrainer
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.step_options import StepOptions

D, OUT, N, K, L = 7, 5, 20, 3, 3


def rows(count: int, width: int, seed: int, layers: int = L) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, width, generator=generator, dtype=torch.float64) for _ in range(layers)]


def as_double(trainer: CrossLayerTrainer, seed: int = 3) -> CrossLayerTrainer:
    """Every weight in float64, and biases and centres that are not zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in trainer.layers:
        for name in ("encoder", "decoder", "encoder_bias", "decoder_bias", "center"):
            setattr(layer, name, getattr(layer, name).double())
        layer.encoder_bias.normal_(0, 0.05, generator=generator)
        layer.center.normal_(0, 0.3, generator=generator)
        layer._new_optimizer()
    trainer.layers[0].decoder_bias.normal_(0, 0.3, generator=generator)
    return trainer


def weights_of(trainer: CrossLayerTrainer) -> dict[str, list[np.ndarray]]:
    names = ("encoder", "encoder_bias", "decoder", "center")
    found = {name: [getattr(layer, name).numpy().copy() for layer in trainer.layers] for name in names}
    return found | {"bias": [own.numpy().copy() for own in trainer.decoder_bias]}


def oracle_features(weights: dict[str, list[np.ndarray]], x: list[np.ndarray]) -> list[np.ndarray]:
    """The K largest of each row, by how much they write to all layers together."""
    out = []
    for own, encoder, bias, decoder, center in zip(
        x, *(weights[name] for name in ("encoder", "encoder_bias", "decoder", "center")), strict=True
    ):
        scores = (own - center) @ encoder.T + bias
        order = np.argsort(-scores * np.linalg.norm(decoder, axis=1), axis=1)[:, :K]
        on = np.zeros_like(scores, dtype=bool)
        np.put_along_axis(on, order, True, axis=1)
        out.append(np.where(on & (scores > 0), scores, 0.0))
    return out


def oracle_errors(weights: dict[str, list[np.ndarray]], features: list[np.ndarray], y: list[np.ndarray]) -> np.ndarray:
    """What is written to each layer less what should be, [layer row width]."""
    errors = []
    for target in range(L):
        made = weights["bias"][target].copy()
        for source in range(target + 1):
            vectors = weights["decoder"][source].reshape(N, L - source, OUT)[:, target - source]
            made = made + features[source] @ vectors
        errors.append(made - y[target])
    return np.stack(errors)


def test_forward_and_gradient_are_those_of_a_dense_numpy_oracle() -> None:
    trainer = as_double(CrossLayerTrainer(StepOptions(D, N, K, d_out=OUT, auxiliary=0.0), L))
    weights = weights_of(trainer)
    x, y = rows(11, D, seed=1), rows(11, OUT, seed=2)
    inputs, targets = ([part.numpy() for part in parts] for parts in (x, y))
    features = oracle_features(weights, inputs)
    errors = oracle_errors(weights, features, targets)
    seen: list[dict[str, Tensor]] = []
    for layer in trainer.layers:
        layer.apply = lambda gradients, norm: seen.append(dict(gradients))  # type: ignore[method-assign]
    found = trainer.step(x, y)
    np.testing.assert_allclose([row["loss"] for row in found], np.square(errors).sum((1, 2)) / 11, rtol=1e-12)
    spread = [np.square(own - own.mean(0)).sum() for own in targets]
    np.testing.assert_allclose([row["fvu"] for row in found], np.square(errors).sum((1, 2)) / spread, rtol=1e-12)
    np.testing.assert_allclose(seen[0]["decoder_bias"].view(L, OUT), 2 * errors.sum(1) / 11, rtol=1e-10)
    square = np.square(seen[0]["decoder_bias"].numpy()).sum()
    for source, own in enumerate(seen):
        blocks = weights["decoder"][source].reshape(N, L - source, OUT)
        of_features = sum(2 / 11 * errors[source + step] @ blocks[:, step].T for step in range(L - source))
        of_scores = of_features * (features[source] > 0)
        of_decoder = np.stack([2 / 11 * features[source].T @ errors[source + s] for s in range(L - source)], 1)
        expected = {
            "encoder": of_scores.T @ (inputs[source] - weights["center"][source]),
            "encoder_bias": of_scores.sum(0),
            "decoder": of_decoder.reshape(N, -1),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(own[name].numpy(), value, rtol=1e-9, atol=1e-12, err_msg=f"{name} {source}")
            square += np.square(value).sum()
    assert found[0]["gradient_norm"] == pytest.approx(math.sqrt(square), rel=1e-10)


def test_the_oracles_gradient_is_the_slope_of_the_loss() -> None:
    """Central differences of the summed loss at an entry of every kind of weight, the chosen features as they are."""
    trainer = as_double(CrossLayerTrainer(StepOptions(D, N, K, d_out=OUT, auxiliary=0.0), L))
    x, y = rows(11, D, seed=1), rows(11, OUT, seed=2)
    seen: list[dict[str, Tensor]] = []
    for layer in trainer.layers:
        layer.apply = lambda gradients, norm: seen.append(dict(gradients))  # type: ignore[method-assign]
    trainer.step(x, y)
    active = [layer.read(own).indices[0, 0] for layer, own in zip(trainer.layers, x, strict=True)]
    gradients = list(seen)
    for number, layer in enumerate(trainer.layers):
        for name in ("encoder", "encoder_bias", "decoder"):
            place: Any = (active[number],) if name == "encoder_bias" else (active[number], 1)
            losses = []
            for change in (1e-6, -1e-6):
                getattr(layer, name)[place] += change
                losses.append(sum(row["loss"] for row in trainer.step(x, y)))
                getattr(layer, name)[place] -= change
            slope = (losses[0] - losses[1]) / 2e-6
            assert slope == pytest.approx(float(gradients[number][name][place]), rel=1e-4, abs=1e-7), (name, number)


@pytest.mark.parametrize("batch_topk", [False, True])
def test_one_layer_is_a_plain_transcoder_bit_for_bit(batch_topk: bool) -> None:
    """With dead features at work too."""
    options = StepOptions(D, 64, K, d_out=OUT, batch_topk=batch_topk, dead_after=2, learning_rate=3e-3, seed=4)
    plain, crossed = TopKTrainer(options), CrossLayerTrainer(options, 1)
    for seed in range(8):
        (x,), (y,) = rows(32, D, seed, 1), rows(32, OUT, seed + 100, 1)
        assert [plain.step(x.float(), y.float())] == crossed.step([x.float()], [y.float()])
    for name, value in plain.state().items():
        assert torch.equal(value, crossed.layers[0].state()[name]), name


def planted(count: int, seed: int, vectors: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Features of layer 0 that write to both outputs; layer 1 reads noise, and features of its own."""
    generator = torch.Generator().manual_seed(seed)
    n = len(vectors["read"])

    def sparse() -> Tensor:
        on = torch.rand(count, n, generator=generator) < 2 / n
        return on * (0.5 + torch.rand(count, n, generator=generator))

    first, second = sparse(), sparse()
    x = [first @ vectors["read"], second @ vectors["read_above"]]
    return x, [first @ vectors["near"], first @ vectors["far"] + second @ vectors["own"]]


def test_planted_features_that_write_to_two_layers_are_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    names = ("read", "read_above", "near", "far", "own")
    n, width = 12, 24
    vectors = {name: torch.nn.functional.normalize(torch.randn(n, width, generator=generator), dim=1) for name in names}
    options = StepOptions(
        width, 24, 2, d_out=width, batch_topk=True, learning_rate=3e-3, dead_after=30, total_steps=700, decay_steps=200
    )
    crossed, apart = CrossLayerTrainer(options, 2), TopKTrainer(options)  # apart: layer 1 alone, the control
    found, alone = [{}], {}
    for seed in range(700):
        x, y = planted(256, seed, vectors)
        found, alone = crossed.step(x, y), apart.step(x[1], y[1])
    assert found[0]["fvu"] < 0.1 and found[1]["fvu"] < 0.1
    assert alone["fvu"] > 0.4  # half of what layer 1 writes is not in what it reads
    both = torch.nn.functional.normalize(torch.cat([vectors["near"], vectors["far"]], 1), dim=1)
    learned = torch.nn.functional.normalize(crossed.layers[0].decoder, dim=1)
    best = (both @ learned.T).max(1).values
    assert best.min() > 0.9
    shuffled = torch.nn.functional.normalize(torch.cat([vectors["near"], vectors["far"].roll(1, 0)], 1), dim=1)
    assert (shuffled @ learned.T).max(1).values.mean() < 0.75  # the pairing, not each half alone


def test_continuing_from_the_state_is_bitwise() -> None:
    options = StepOptions(D, N, K, d_out=OUT, dead_after=3, total_steps=12, decay_steps=4)
    whole, first = CrossLayerTrainer(options, L), CrossLayerTrainer(options, L)
    second = CrossLayerTrainer(StepOptions(D, N, K, d_out=OUT, dead_after=3, total_steps=12, decay_steps=4, seed=9), L)
    data = [[[part.float() for part in rows(16, width, seed)] for width in (D, OUT)] for seed in range(12)]
    for number, (x, y) in enumerate(data):
        whole.step(x, y)
        if number < 5:
            first.step(x, y)
    second.load_state({name: value.clone() for name, value in first.state().items()})
    for x, y in data[5:]:
        second.step(x, y)
    for name, value in whole.state().items():
        assert torch.equal(value, second.state()[name]), name


def test_a_batch_that_is_not_finite_changes_nothing() -> None:
    trainer = CrossLayerTrainer(StepOptions(D, N, K, d_out=OUT), L)
    x, y = ([part.float() for part in rows(16, width, 0)] for width in (D, OUT))
    trainer.step(x, y)
    before = {name: value.clone() for name, value in trainer.state().items()}
    y[2][3, 1] = math.inf
    assert all(math.isnan(row["loss"]) for row in trainer.step(x, y))
    assert all(torch.equal(value, before[name]) for name, value in trainer.state().items() if "threshold" not in name)
