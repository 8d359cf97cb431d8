"""MNIST unwrapped: pieces against closed forms, claims on made-up seeds, and the whole command on a few images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from eval.commands import parse
from eval.measures.connectors.connector import Connector
from eval.measures.dictionaries.dictionary import TopKDictionary, encode_rows
from vision_codes.__main__ import COMMANDS, main
from vision_codes.lenses.unwrap.claims import claims_of, over_seeds
from vision_codes.lenses.unwrap.connecting import analytic_start
from vision_codes.lenses.unwrap.dictionaries import train_dictionary
from vision_codes.lenses.unwrap.digits import load_digits
from vision_codes.lenses.unwrap.network import Network
from vision_codes.lenses.unwrap.refit import RefitOptions, largest, refit_through, substituted
from vision_codes.lenses.unwrap.study import arrays_of


def seed_row(cost, analytic=(10.0, 9.8), random_loss=2.0, tied=0.01, untied=0.02, permuted=(10.0, 2.0), before=0.02):
    sae = {"fvu": 0.1, "l0": 32.0, "mse": tied}
    return {
        "accuracy": 0.97,
        "accuracy_replaced": 0.97 - cost / 100,
        "cost_points": cost,
        "cost_points_before_joint_fit": cost + 0.3,
        "changed_digits": 0.02,
        "accuracy_sae_3_only": 0.97,
        "accuracy_mean_ablated": 0.1,
        "edges_per_output": [20.0, 18.0],
        "most_edges": 32,
        "connector_mse": 0.01,
        "mean_features_mse": 0.05,
        "sae_1": sae,
        "sae_2": sae,
        "sae_3": sae,
        "sae_1_untied": {**sae, "mse": untied},
        "sae_1_before_training": {**sae, "mse": before},
        "sae_1_untied_before_training": {**sae, "mse": 0.02},
        "analytic_first_loss": analytic[0],
        "analytic_last_loss": analytic[1],
        "random_last_loss": random_loss,
        "permuted_first_loss": permuted[0],
        "permuted_last_loss": permuted[1],
    }


def test_claims_turn_with_the_numbers():
    good = [c.verdict for c in claims_of([seed_row(cost) for cost in (0.8, 1.0, 1.1, 0.9, 1.2)])]
    assert good[:4] == ["holds", "holds", "holds", "holds"]
    mixed = [c.verdict for c in claims_of([seed_row(1.0, tied=tied) for tied in (0.01, 0.03, 0.01, 0.03, 0.02)])]
    assert mixed[3] == "cannot tell"
    bad = [seed_row(cost, (10.0, 1.0 + cost / 100), 2.0, 0.03 + cost / 1000) for cost in (3.0, 3.1, 2.9, 3.2, 2.8)]
    assert [c.verdict for c in claims_of(bad)][:4] == ["fails", "fails", "fails", "fails"]
    assert claims_of([seed_row(1.0)])[0].verdict == "cannot tell"


def test_over_seeds_is_the_t_interval():
    score = over_seeds([1.0, 2.0, 3.0])
    assert score.value == 2 and score.high - score.value == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)
    assert over_seeds([1.0]).interval is None


def test_a_dictionary_learns_and_the_analytic_start_is_exact_for_always_on_units():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(20, 16, generator=generator).abs()
    hidden = ((torch.rand(2000, 20, generator=generator) < 0.15) * torch.rand(2000, 20, generator=generator)) @ mixing
    dictionary = train_dictionary(hidden, 48, 6, 300, 0)
    error = dictionary.decode(dictionary.encode(hidden)) - hidden
    assert error.square().sum() < 0.3 * (hidden - hidden.mean(0)).square().sum()
    layer = torch.nn.Linear(16, 16)
    torch.nn.init.eye_(layer.weight)
    torch.nn.init.constant_(layer.bias, 5.0)
    weight, bias = analytic_start(layer.requires_grad_(False), dictionary, dictionary, hidden)
    assert torch.allclose(weight, dictionary.vectors @ dictionary.encoder.T, atol=1e-5)
    features = dictionary.encode(hidden[:5])
    made = (dictionary.decode(features) + 5 - dictionary.input_bias) @ dictionary.encoder.T + dictionary.encoder_bias
    assert torch.allclose(features @ weight + bias, made, atol=1e-3)


def test_the_joint_fit_keeps_the_edges_and_brings_the_digits_nearer():
    """A read-out that uses one direction only: the fit on what comes out finds what the layers' own fits gave away."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    hidden = [draw(600, 6).relu() for _ in range(3)]
    zeros = torch.zeros(6)
    dictionaries = [TopKDictionary(draw(10, 6), torch.zeros(10), draw(10, 6), zeros, zeros, 4) for _ in range(3)]
    features = [encode_rows(d, h) for d, h in zip(dictionaries, hidden, strict=True)]
    connectors = [
        Connector.from_dense(draw(10, 10) * (torch.rand(10, 10, generator=generator) < 0.3), torch.ones(10), "relu")
        for _ in range(2)
    ]
    matrix = draw(6, 4)
    options = RefitOptions(steps=150, learning_rate=0.02, most=7)
    found = refit_through(connectors, dictionaries, features, hidden, lambda h: h @ matrix, options)

    def divergence(pair):
        weights = [tensor for one in pair for tensor in (one.dense(), one.bias)]
        _, out = substituted(features[0].dense(), weights, dictionaries[2], 7)
        wanted, got = ((h @ matrix).log_softmax(1) for h in (hidden[2], out))
        return float((wanted.exp() * (wanted - got)).sum(1).mean())

    for before, after in zip(connectors, found, strict=True):
        assert not bool(((before.dense() == 0) & (after.dense() != 0)).any())
    assert divergence(found) < 0.5 * divergence(connectors)
    same = refit_through(connectors, dictionaries, features, hidden, lambda h: h @ matrix, RefitOptions(steps=0))
    assert same == connectors


def test_the_largest_features_of_each_image_are_handed_on():
    assert torch.equal(largest(torch.tensor([[3.0, 0, 1, 2]]), 2), torch.tensor([[3.0, 0, 0, 2]]))
    assert torch.equal(largest(torch.ones(2, 3), 5), torch.ones(2, 3))


def test_the_test_images_are_split_where_there_is_no_training_set(data_folder):
    digits, provenance = load_digits("mnist", 0)
    assert (len(digits.train), len(digits.test)) == (8000, 2000) and provenance["n"] == 10_000
    other, _ = load_digits("mnist", 1)
    assert not torch.equal(digits.test_labels, other.test_labels)
    assert Network(784, 8).hidden(digits.test[:3])[2].shape == (3, 8)


@pytest.mark.slow
def test_the_command_runs_and_continues(data_folder, tmp_path, capsys):
    arguments = [
        "unwrap",
        "--out",
        str(tmp_path),
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--sae-steps",
        "8",
        "--threads",
        "1",
    ]
    arguments += [
        "--connector-steps",
        "8",
        "--refit-steps",
        "8",
        "--joint-steps",
        "4",
        "--hidden",
        "32",
        "--active",
        "8,8,8",
    ]
    assert main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results["claims"]) == 5 and results["seeds"][0]["most_edges"] <= 32
    assert (tmp_path / "report.html").exists() and (tmp_path / "figures" / "features.png").exists()
    capsys.readouterr()
    assert main(arguments) == 0 and "cost in points" in capsys.readouterr().out
    assert main([*arguments[:-1], "8,8", "--overwrite"]) == 2
    assert "expected three numbers in --active" in capsys.readouterr().err


def test_a_folder_of_grey_digits_is_read_at_its_own_size(tmp_path):
    generator = np.random.default_rng(0)
    for digit in range(3):
        (tmp_path / str(digit)).mkdir()
        for number in range(10):
            pixels = generator.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / str(digit) / f"{number}.png")
    digits, provenance = load_digits(str(tmp_path), 0)
    assert digits.side == 28 and digits.train.shape == (24, 784) and digits.test.shape == (6, 784)
    assert provenance["source"] == f"folder {tmp_path.name}, 80% of it by seed"


def test_the_data_may_be_named_as_before(capsys):
    invocation = parse("vision_codes", "", COMMANDS, ["unwrap", "--out", "a", "--dataset", "digits"])
    assert invocation is not None and invocation.config.data == "digits"
    assert "--dataset is called --data now; the old name works in this version" in capsys.readouterr().err


def test_a_device_that_is_not_used_is_refused(capsys, tmp_path):
    assert main(["unwrap", "--out", str(tmp_path / "a"), "--device", "cuda"]) == 2
    assert "expected --device cpu: this verb computes" in capsys.readouterr().err


def test_tensors_of_a_piece_come_back_as_they_were():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(5, 4, generator=generator)
    connector = Connector.from_dense(weights * (weights > 0), torch.ones(4), "relu")
    again = Connector(**{name: torch.from_numpy(array) for name, array in arrays_of(connector).items()}, n_inputs=5)
    assert torch.equal(again.dense(), connector.dense()) and torch.equal(again.bias, connector.bias)
