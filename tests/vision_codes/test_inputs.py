"""Images are opened in one place: drawn evenly where asked, known by content, at their own size where asked."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from eval.errors import UserError
from vision_codes.inputs import balanced, open_inputs


def folder_of_digits(root, value: int = 0, sizes: tuple[int, ...] = (6, 3, 6)):
    generator = np.random.default_rng(value)
    for digit, count in enumerate(sizes):
        (root / str(digit)).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(root / str(digit) / f"{number}.png")
    return root


def test_even_draws_take_all_of_a_class_that_has_fewer(tmp_path) -> None:
    folder = str(folder_of_digits(tmp_path))
    inputs = open_inputs(data=folder, images=11, evenly=True, size=32)
    assert np.bincount(inputs.labels).tolist() == [4, 3, 4]
    assert len(open_inputs(data=folder, images=0, evenly=True, size=32).labels) == 15
    every = open_inputs(data=folder, images=0, size=32)
    assert np.array_equal(inputs.shown, every.shown[balanced(every.labels, 11, 0)])


def test_images_replaced_under_the_same_name_are_other_inputs(tmp_path) -> None:
    first = open_inputs(data=str(folder_of_digits(tmp_path)), size=32).hash
    assert open_inputs(data=str(folder_of_digits(tmp_path)), size=32).hash == first
    assert open_inputs(data=str(folder_of_digits(tmp_path, 1)), size=32).hash != first


def test_images_of_a_folder_keep_their_own_size_and_grey_where_asked(tmp_path) -> None:
    folder = str(folder_of_digits(tmp_path))
    assert open_inputs(data=folder, own_size=True).shown.shape == (15, 1, 12, 12)
    assert open_inputs(data=folder, size=32).shown.shape == (15, 3, 32, 32)
    with pytest.raises(UserError, match=r"expected colour images \(3 channels\) for the network; .* --grey-as-colour"):
        open_inputs(data=folder, own_size=True, channels=3)
