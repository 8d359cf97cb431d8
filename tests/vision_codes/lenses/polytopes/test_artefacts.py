"""A study that was stopped and goes on is the unbroken one, with everything that figures need."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.pieces import Pieces
from eval.runs import Run
from tests.vision_codes.lenses.polytopes.test_study import _Small
from vision_codes.configs.images import ImagesOptions
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.lenses.polytopes import panels, study
from vision_codes.lenses.polytopes.artefacts import Artefacts, slice_as_arrays
from vision_codes.models import VisionModel

CONFIG = PolytopesConfig(out="", pairs=2, samples=5, patches=100, slice_regions=20, exact_up_to=0, probes=2)


class Killed(BaseException):
    pass


def contents(artefacts: Artefacts) -> list[np.ndarray]:
    """Every number that a figure is drawn from."""
    paths = [path for kinds in artefacts.interpolations for path in kinds.values()]
    values = [getattr(path, field.name) for path in paths for field in dataclasses.fields(path)]
    assert artefacts.places is not None
    values += [artefacts.places.image, artefacts.places.row, artefacts.places.grid, artefacts.places.site]
    assert artefacts.unit_places is not None and artefacts.cosines is not None
    values += [artefacts.unit_places.image, artefacts.unit_places.row, *artefacts.cosines]
    values += [array for one in artefacts.slices.values() for array in slice_as_arrays(*one).values()]
    return [np.asarray(value) for value in (*values, artefacts.hamming, artefacts.frobenius)]


@pytest.mark.parametrize("last", ["scaling", "channel_vectors", "slice_after", "way_out_row"])
def test_a_study_that_was_stopped_goes_on_to_the_same_end(tmp_path, monkeypatch, last) -> None:
    torch.manual_seed(0)
    model = VisionModel("small", _Small().eval(), 32, tuple(map(str, range(10))), "random")
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(8) % 4
    whole, shown = study.polytopes(model, images, labels, CONFIG)
    pieces = Pieces(Run(tmp_path), study.STUDY)

    def kill(*arguments: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(panels if hasattr(panels, last) else study, last, kill)
        with pytest.raises(Killed):
            study.polytopes(model, images, labels, CONFIG, pieces=pieces)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("items/*.json")}
    found, again = study.polytopes(model, images, labels, CONFIG, pieces=pieces)
    assert found == whole and again.trends == shown.trends
    assert all(np.array_equal(a, b) for a, b in zip(contents(again), contents(shown), strict=True))
    assert done and all(path.stat().st_mtime_ns == at for path, at in done.items()), "what was done is not done again"


def test_three_images_are_refused_where_they_are_asked_for() -> None:
    with pytest.raises(UserError, match=r"expected --images of at least 4 \(0: all\); got 3; density needs pairs"):
        PolytopesConfig(out="", inputs=ImagesOptions(images=3))
