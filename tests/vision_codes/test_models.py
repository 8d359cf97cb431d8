"""Any classifier: by name, by a state dict of any number of classes, by a function of one's own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.geometry.tracing import trace
from vision_codes.architectures import construct
from vision_codes.lenses.polytopes.controls import cannot_start_again
from vision_codes.models import load_model

OWN = """
import torch
from torch import nn

def random_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

def loaded_net():
    torch.manual_seed(7)
    net = random_net()
    net.image_size, net.class_names = 40, ("a", "b", "c", "d", "e")
    net.mean, net.deviation = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    return net

def grey_net():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

def headless():
    return nn.Conv2d(3, 4, 3)

def nothing():
    return 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_networks_for_tests.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "suffix"), [("resnet18", "pt"), ("squeezenet1_1", "safetensors")])
def test_a_state_dict_of_ten_classes_is_read(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    state = construct(name, 64, 10).state_dict()
    if suffix == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save(state, path)
    model = load_model(str(path), image_size=64)
    assert model.name == name and model.class_names[-1] == "class 9" and model.provenance()["n_classes"] == 10
    assert all(torch.equal(value, state[key]) for key, value in model.module.state_dict().items())
    assert load_model(f"{name}:{path}", image_size=64).provenance() == model.provenance()
    x = model.inputs(np.zeros((2, 3, 64, 64), np.uint8))
    with torch.no_grad():
        assert model.module(x).shape == (2, 10)


def test_weights_of_another_architecture_are_named(tmp_path: Path) -> None:
    torch.save(construct("resnet18", 64, 10).state_dict(), tmp_path / "mine.pt")
    with pytest.raises(UserError, match=r"expected weights of resnet34 in mine.pt; they are those of resnet18"):
        load_model(f"resnet34:{tmp_path / 'mine.pt'}")
    state = construct("resnet18", 64, 10).state_dict() | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
    torch.save(state, tmp_path / "grey.pt")
    with pytest.raises(UserError, match=r"expected the sizes of resnet18; grey.pt has its layers in other sizes"):
        load_model(str(tmp_path / "grey.pt"))


def test_the_constructor_is_the_architectures_own_under_a_seed() -> None:
    model = load_model("resnet18", untrained=True, seed=3, image_size=64, n_classes=10)
    assert model.build is not None and len(model.class_names) == 10
    again, other = model.build(3), model.build(4)
    weights = [net.conv1.weight for net in (model.module, again, other)]  # type: ignore[union-attr]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])  # type: ignore[arg-type]
    fan_out = 64 * 7 * 7  # He initialisation by fan-out, which a convolution's own reset does not know
    assert float(weights[0].detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)  # type: ignore[operator]
    with pytest.raises(UserError, match="expected the weights of 10 classes; got 'resnet18'; pass resnet18:weights.pt"):
        load_model("resnet18", n_classes=10)


def test_a_network_of_ones_own_is_read(own: Path) -> None:
    model = load_model("my_networks_for_tests:random_net", image_size=48)
    assert model.image_size == 48 and model.build is not None and model.class_names[0] == "class 0"
    torch.save(model.module.state_dict(), own / "w.pt")
    again = load_model(f"my_networks_for_tests:random_net:{own / 'w.pt'}", image_size=48, seed=5)
    assert again.provenance()["sha256"] == model.provenance()["sha256"] and again.weights == "w.pt"
    loaded = load_model("my_networks_for_tests:loaded_net")
    assert loaded.build is None, "a function that loads its weights gives no control"
    assert loaded.image_size == 40 and loaded.class_names == ("a", "b", "c", "d", "e")
    assert float(loaded.inputs(np.full((1, 3, 40, 40), 255, np.uint8)).max()) == 2.0
    grey = load_model("my_networks_for_tests:grey_net", image_size=32)
    assert grey.inputs(np.zeros((1, 1, 32, 32), np.uint8)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such_module:f", "expected an importable module before the colon of 'no_such_module:f'; got No module"),
        (
            "my_networks_for_tests:random_nt",
            "unknown function of my_networks_for_tests 'random_nt': did you mean",
        ),
        ("my_networks_for_tests:nothing", "expected my_networks_for_tests:nothing to return an nn.Module; got int"),
        ("my_networks_for_tests:headless", r"to map images to \[image, class\]; got \(1, 4, 30, 30\)"),
    ],
)
def test_functions_that_give_no_classifier_are_named(own: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_model(text, image_size=32)


EXPORTED = """
import torch

def load():
    return torch.export.load({path!r})

def scalars():
    return torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),))
"""


def test_an_exported_program_is_read_through_a_function_and_never_opened_from_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 5),
    ).eval()  # fmt: skip
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 40, 40),)), path)
    with pytest.raises(UserError, match=r"net.pt2 is a torch.export program, which torch opens with pickle"):
        load_model(str(path))
    (tmp_path / "exported_for_tests.py").write_text(EXPORTED.format(path=str(path)))
    monkeypatch.syspath_prepend(str(tmp_path))
    model = load_model("exported_for_tests:load")
    assert model.image_size == 40 and model.build is None and len(model.class_names) == 5
    x = torch.randn(3, 3, 40, 40)
    program = trace(model.module, x[0])
    with torch.no_grad():
        torch.testing.assert_close(program(x), net(x), rtol=1e-4, atol=1e-5)
    assert "neither a constructor nor a layer" in str(cannot_start_again(model.module, model.build))
    assert cannot_start_again(net, None) is None
    with pytest.raises(UserError, match=r"expected an exported program of images .* got inputs \(1, 3\)"):
        load_model("exported_for_tests:scalars")


def test_timm_is_asked_for_by_name() -> None:
    if importlib.util.find_spec("timm") is not None:
        pytest.skip("timm is installed")
    with pytest.raises(UserError, match=r"timm:resnet18 needs timm; install with: pip install 'neural-codes\[timm\]'"):
        load_model("timm:resnet18")


def test_networks_of_timm_with_their_own_normalisation_and_a_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="the extra `timm`")
    fresh = load_model("timm:resnet10t", untrained=True, image_size=64)
    assert fresh.image_size == 64 and len(fresh.class_names) == 1000 and fresh.build is not None
    config = timm.data.resolve_model_data_config(timm.create_model("resnet10t"))
    assert fresh.mean == tuple(config["mean"]) and fresh.deviation == tuple(config["std"])
    state = timm.create_model("resnet10t", num_classes=7).state_dict()
    torch.save(state, tmp_path / "seven.pt")
    model = load_model(f"timm:resnet10t:{tmp_path / 'seven.pt'}", image_size=64)
    assert model.class_names[-1] == "class 6" and model.weights == "seven.pt"
    x = model.inputs(np.zeros((2, 3, 64, 64), np.uint8))
    with torch.no_grad():
        torch.testing.assert_close(trace(model.module, x[0])(x), model.module(x), rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match="unknown model of timm 'resnet10x'"):
        load_model("timm:resnet10x", untrained=True)
    with pytest.raises(UserError, match=r"expected the weights of timm's resnet18 in seven.pt"):
        load_model(f"timm:resnet18:{tmp_path / 'seven.pt'}", image_size=64)
