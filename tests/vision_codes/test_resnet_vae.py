"""The network against torchvision's ResNet-18, closed forms of the loss, and its refusals."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from eval.errors import UserError
from vision_codes.harvest import hooks, sites
from vision_codes.resnet_vae import build, load_imagenet_encoder
from vision_codes.vae_architecture import Architecture
from vision_codes.vae_loss import Output, reparametrise, vae_loss
from vision_codes.vae_parts import Rectifier

SMALL = Architecture(image_size=32, base_width=4, fully_connected=16, latent=6)


def torchvision_resnet18():
    from eval.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    from torchvision.models import resnet18

    return resnet18(weights=None)


def test_encoder_is_torchvisions_resnet18():
    model, oracle = build(Architecture(image_size=64), 0), torchvision_resnet18()
    state = {name: value for name, value in oracle.state_dict().items() if not name.startswith("fc.")}
    model.encoder.load_state_dict(state)
    oracle.add_module("fc", nn.Identity())
    images = torch.rand(2, 3, 64, 64)
    model.eval()
    oracle.eval()
    torch.testing.assert_close(model.encoder(images), oracle(images))
    model.train()
    oracle.train()
    torch.testing.assert_close(model.encoder(images), oracle(images), rtol=1e-3, atol=1e-4)


def test_imagenet_weights_load_by_torchvisions_names(monkeypatch):
    from torchvision.models import ResNet18_Weights

    oracle = torchvision_resnet18()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **options: oracle.state_dict())
    model = build(Architecture(image_size=32), 1)
    assert "IMAGENET1K_V1" in load_imagenet_encoder(model)
    name = "layer3.1.conv2.weight"
    torch.testing.assert_close(model.encoder.get_parameter(name), oracle.get_parameter(name))
    with pytest.raises(UserError, match="expected base_width 64 and 3 channels"):
        load_imagenet_encoder(build(SMALL, 0))


def test_imagenet_weights_that_cannot_be_had_are_one_line(monkeypatch):
    from torchvision.models import ResNet18_Weights

    def refuse(self, **options):
        raise OSError("no network")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", refuse)
    with pytest.raises(UserError, match="got no network; pass --pretrained no"):
        load_imagenet_encoder(build(Architecture(image_size=32), 0))


def test_seventeen_relu_sites_each_its_own_module_with_its_own_dropout():
    model = build(Architecture(image_size=64, base_width=4, dropout=0.3), 0)
    found = sites(model)
    assert [site.layer for site in found] == list(range(1, 18)) and found[0].shape == (4, 32, 32)
    assert found[-1].shape == (32, 2, 2) and found[5].name == "layer2.0.relu1"
    rectifiers = [m for m in model.modules() if isinstance(m, Rectifier)]
    assert len(rectifiers) == 17 + 2 + 4 and all(r.dropout.p == 0.3 for r in rectifiers)
    assert len({id(r.relu) for r in rectifiers}) == len(rectifiers)


def test_dropout_in_the_encoder_only():
    model = build(Architecture(image_size=32, base_width=4, dropout=0.3, dropout_at="encoder"), 0)
    assert {m.p for m in model.decoder.modules() if isinstance(m, nn.Dropout)} == {0.0}
    assert {m.p for m in model.encoder.modules() if isinstance(m, nn.Dropout)} == {0.3}


def test_without_a_norm_before_the_sigmoid_brightness_is_the_images_own():
    code = torch.randn(4, 6)
    for output_norm, own in (("batch", False), ("none", True)):
        decoder = build(replace(SMALL, output_norm=output_norm), 0).decoder.eval()
        decoder.up8.train()
        alone, among = decoder(code[:1]), decoder(code)[:1]
        assert torch.allclose(alone, among, atol=1e-5) is own


def test_without_pooling_every_stage_is_twice_as_large():
    model = build(replace(SMALL, stem="no-pool", pooling="flatten"), 0)
    shapes = [site.shape for site in sites(model)]
    assert shapes[:2] == [(4, 16, 16), (4, 16, 16)] and shapes[-1] == (32, 2, 2) and len(shapes) == 17
    assert model.encoder.width == 32 * 2 * 2
    with pytest.raises(UserError, match="unknown stem 'none'"):
        replace(SMALL, stem="none")


def test_open_relus_start_near_a_linear_network():
    """Share of open units right after the start, and nothing but BatchNorm's own parameters changed."""
    plain, opened = build(SMALL, 0), build(replace(SMALL, open_relus=1.0), 0)
    images = torch.rand(64, 3, 32, 32)
    shares = []
    for model in (plain, opened):
        with hooks(model.train(), list(model.relu_sites())) as found, torch.no_grad():
            model(images)
        shares.append(float(torch.stack([(value > 0).float().mean() for value in found.values()]).mean()))
    assert shares[0] < 0.7 and shares[1] > 0.8
    differing = {n for n, p in plain.named_parameters() if not torch.equal(p, opened.get_parameter(n))}
    assert differing and all(".bn" in n or n.startswith(("encoder.bn1", "fc1.1", "fc2.1")) for n in differing)
    assert torch.all(opened.encoder.get_submodule("layer1.0.bn2").bias == 0)  # an identity shortcut is added
    assert torch.all(opened.encoder.get_submodule("layer2.0.bn2").bias == 1)


def test_the_decoders_width_is_of_its_first_map():
    decoder = build(replace(SMALL, decoder_width=16), 0).decoder
    assert [decoder.up6[0].in_channels, decoder.up7[0].in_channels, decoder.up8[0].in_channels] == [16, 8, 2]
    with pytest.raises(UserError, match="expected decoder_width of at least 8; got 4"):
        replace(SMALL, decoder_width=4)


def test_one_seed_means_shared_initial_weights_whatever_the_dropout():
    state = torch.get_rng_state()
    one, other = build(SMALL, 5), build(Architecture(32, 3, 4, 16, 6, dropout=0.8), 5)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert not torch.equal(one.encoder.conv1.weight, build(SMALL, 6).encoder.conv1.weight)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("pooling", ["average", "flatten"])
@pytest.mark.parametrize(("size", "channels"), [(32, 1), (40, 3), (64, 3)])
def test_shapes_and_range_of_the_output(pooling, size, channels):
    model = build(Architecture(size, channels, 4, 16, 6, pooling=pooling), 0)
    output = model(torch.rand(3, channels, size, size))
    assert output.reconstruction.shape == (3, channels, size, size) and output.mean.shape == (3, 6)
    assert 0 <= float(output.reconstruction.detach().min()) and float(output.reconstruction.detach().max()) <= 1
    model.eval()
    images = torch.rand(3, channels, size, size)
    assert torch.equal(model(images).reconstruction, model(images).reconstruction)


def test_loss_terms_have_their_closed_forms():
    images = torch.rand(4, 3, 8, 8)
    mean, log_variance = torch.full((4, 5), 2.0), torch.full((4, 5), math.log(3.0))
    output = Output(torch.full_like(images, 0.5), mean, log_variance)
    losses = vae_loss(output, images, kl_weight=0.25)
    oracle = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_variance.exp().sqrt()), torch.distributions.Normal(0.0, 1.0)
    )
    assert float(losses.kl) == pytest.approx(float(oracle.sum(1).mean()), rel=1e-5)
    assert float(losses.reconstruction) == pytest.approx(float((images - 0.5).square().sum() / 4), rel=1e-5)
    assert float(losses.total) == pytest.approx(float(losses.reconstruction + 0.25 * losses.kl), rel=1e-6)
    bce = vae_loss(output, images, kind="bce")
    assert float(bce.reconstruction) == pytest.approx(3 * 64 * math.log(2), rel=1e-5)
    standard = Output(images, torch.zeros(4, 5), torch.zeros(4, 5))
    assert float(vae_loss(standard, images).total) == 0


def test_reparametrisation_has_the_moments_it_should_and_passes_gradients():
    mean, log_variance = (
        torch.full((200_000,), 1.5, requires_grad=True),
        torch.full((200_000,), -1.0, requires_grad=True),
    )
    drawn = reparametrise(mean, log_variance)
    assert float(drawn.mean()) == pytest.approx(1.5, abs=0.01)
    assert float(drawn.var()) == pytest.approx(math.exp(-1), rel=0.02)
    drawn.sum().backward()
    assert mean.grad is not None and log_variance.grad is not None and bool(log_variance.grad.abs().sum() > 0)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_outside_its_range_is_refused(dropout):
    with pytest.raises(UserError, match=r"expected dropout in \[0, 1\)"):
        Architecture(dropout=dropout)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"channels": 2}, r"expected 1 \(grey\) or 3 \(colour\) channels; got 2"),
        ({"image_size": 16}, "expected images of at least 32 pixels; got 16"),
        ({"latent": 0}, "expected latent of at least 1; got 0"),
        ({"pooling": "max"}, "unknown pooling 'max'"),
        ({"dropout_at": "everywhere"}, "unknown place of dropout 'everywhere'"),
        ({"output_norm": "layer"}, "unknown output norm 'layer'"),
    ],
)
def test_architectures_that_cannot_be_are_refused(changes, text):
    with pytest.raises(UserError, match=text):
        Architecture(**changes)


def test_wrong_size_channels_and_loss_are_refused():
    model = build(SMALL, 0)
    with pytest.raises(UserError, match=r"expected images \[batch, 3, 32, 32\]; got \[2, 3, 28, 28\]"):
        model(torch.rand(2, 3, 28, 28))
    with pytest.raises(UserError, match=r"got \[2, 1, 32, 32\]"):
        model(torch.rand(2, 1, 32, 32))
    with pytest.raises(UserError, match="expected a reconstruction loss"):
        vae_loss(model(torch.rand(2, 3, 32, 32)), torch.rand(2, 3, 32, 32), kind="l1")
