"""`unwrap` continued: on the same images nothing is trained twice, on replaced ones everything is made again."""

from __future__ import annotations

import json

import pytest

from tests.vision_codes.test_inputs import folder_of_digits
from vision_codes.__main__ import main
from vision_codes.lenses.unwrap import study

FLAGS = "--seeds 1 --epochs 1 --sae-steps 4 --connector-steps 4 --refit-steps 4 --joint-steps 2 --hidden 12".split()
FLAGS += "--active 3,3,3 --edges 3 --threads 1".split()


@pytest.fixture
def arguments(tmp_path) -> list[str]:
    folder = folder_of_digits(tmp_path / "digits", sizes=(20, 20, 20))
    return ["unwrap", "--data", str(folder), *FLAGS, "--out", str(tmp_path / "run")]


def test_figures_are_drawn_again_from_what_was_kept(arguments, tmp_path, monkeypatch) -> None:
    assert main(arguments) == 0
    first = (tmp_path / "run" / "results.json").read_text()
    pictures = {path: path.read_bytes() for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert len(pictures) == 2
    for path in pictures:
        path.unlink()
    for name in ("train_network", "train_dictionary", "fit_connector", "refit_through", "starts"):
        monkeypatch.setattr(study, name, lambda *given, **options: pytest.fail("trained again"))
    assert main(arguments) == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text())["seeds"] == json.loads(first)["seeds"]
    assert all(path.read_bytes() == picture for path, picture in pictures.items())


def test_replaced_images_are_other_images(arguments, tmp_path, capsys) -> None:
    assert main(arguments) == 0
    first = json.loads((tmp_path / "run" / "results.json").read_text())["seeds"]
    folder_of_digits(tmp_path / "digits", 1, sizes=(20, 20, 20))
    capsys.readouterr()
    assert main(arguments) == 0
    assert "items/seed-0-network.json is stale: other images (" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "results.json").read_text())["seeds"] != first
    (tmp_path / "run" / "arrays" / "seed-0-dictionary-1.npz").write_bytes(b"")
    assert main(arguments) == 0
    assert "seed-0-dictionary-1.npz is damaged: set aside" in capsys.readouterr().err
