"""BatchNorm recalibrated with dropout off: its statistics are the images' own, and nothing else moves."""

from dataclasses import replace

import torch

from eval.runs import Run
from vision_codes.configs.train import Recipe
from vision_codes.data import load_images
from vision_codes.lenses.training.recalibration import recalibrate
from vision_codes.lenses.training.study import train
from vision_codes.resnet_vae import build
from vision_codes.vae_architecture import Architecture

ARCHITECTURE = Architecture(image_size=32, base_width=4, fully_connected=16, latent=4, dropout=0.8, pooling="flatten")


def test_statistics_are_those_of_the_images_with_dropout_off():
    model, images = build(ARCHITECTURE, 0), torch.rand(60, 3, 32, 32)
    for _ in range(5):
        model.train()(images)
    state, weights = torch.get_rng_state(), [p.detach().clone() for p in model.parameters()]
    recalibrate(model, [images], seed=1)
    assert not model.training and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    norm, inputs = model.encoder.get_submodule("layer1.0.bn1"), []  # the first behind a dropout
    norm.register_forward_hook(lambda module, given, output: inputs.append(given[0]))
    with torch.no_grad():
        model(images)
    torch.testing.assert_close(norm.running_mean, inputs[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.running_var, inputs[0].var((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert norm.momentum == 0.1 and model.fc2[1].momentum == 0.01
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recalibrate(model, [images], seed=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_recalibration_leaves_training_as_it_was(tmp_path):
    data = load_images("synthetic", n=50), load_images("synthetic", "test", n=20)
    recipe, histories, weights = Recipe(epochs=2, batch_size=10, kl_weight=0.02), [], []
    for count in (0, 20):
        model = build(ARCHITECTURE, 0)
        histories.append(train(model, *data, replace(recipe, recalibrate=count), Run(tmp_path / str(count))))
        weights.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert [h.training_loss for h in histories[0]] == [h.training_loss for h in histories[1]]
    assert histories[0][-1].validation_loss != histories[1][-1].validation_loss
