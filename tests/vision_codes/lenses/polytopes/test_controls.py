"""Controls are the architecture's own, biases fit the signal, and a control in which nothing arrives is dead."""

import numpy as np
import pytest
import torch
from torch import nn

from eval.measures.geometry.tracing import trace
from vision_codes.lenses.polytopes.controls import BIAS_SHARE, control, why_dead
from vision_codes.models import load_model


def test_init_is_the_constructors_own_network() -> None:
    model = load_model("resnet18", untrained=True, image_size=32, n_classes=10)
    x = torch.randn(4, 3, 32, 32)
    made = control(model.module, "init", x, 3, model.build)
    assert model.build is not None
    expected = model.build(3).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in made.state_dict().items())


def test_random_biases_have_the_scale_of_the_signal_at_every_depth() -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(12):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(64, 10)).eval()
    x = torch.randn(32, 64)
    made = control(net, "init with random biases", x, 0)
    signal = x
    with torch.no_grad():
        for part in made.children():
            if isinstance(part, nn.Linear):
                plain = signal @ part.weight.T
                share = float(part.bias.detach().std()) / float(plain.var(0, correction=0).mean().sqrt())
                assert 0.6 * BIAS_SHARE < share < 1.5 * BIAS_SHARE
            signal = part(signal)
    assert why_dead(trace(made, x[0]), x) is None
    deep = np.array([float(p.bias.detach().std()) for p in made.children() if isinstance(p, nn.Linear)])
    assert deep[-2] < 0.2 * deep[0], "signals shrink with depth here: a bias of fixed size would be all there is"


def test_a_control_with_all_codes_alike_is_dead() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    x = torch.randn(9, 6)
    assert why_dead(trace(net, x[0]), x) is None
    with torch.no_grad():
        net[2].bias.fill_(100.0)  # type: ignore[union-attr, operator]
    reason = why_dead(trace(net, x[0]), x)
    assert reason == "dead: all 9 inputs have the same codes at 3:relu, so it is not used"


@pytest.mark.parametrize("kind", ["init", "init with random biases", "shuffled weights", "recalibrated BatchNorm"])
def test_every_control_of_a_residual_network_can_be_traced(kind: str) -> None:
    model = load_model("resnet18", untrained=True, image_size=32, n_classes=10)
    x = torch.randn(6, 3, 32, 32)
    made = control(model.module, kind, x, 1, model.build)
    assert trace(made, x[0]).n_units > 1000 and not made.training
