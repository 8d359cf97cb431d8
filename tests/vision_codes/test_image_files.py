"""Pixels come out as they are meant: range, orientation, transparency, palettes; what cannot be read says why."""

import numpy as np
import pytest
from PIL import Image

from vision_codes.image_files import Unreadable, read_image

RAMP = np.linspace(0, 1, 16).reshape(4, 4)


def saved(tmp_path, array_or_image, name="x.png", **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((RAMP * 65535).astype(np.uint16), "x.png"),
        ((RAMP * 65535).astype(np.uint16), "x.tif"),
        ((RAMP * 65535).astype(np.int32), "x.tif"),
        ((RAMP * 65535).astype(np.float32), "x.tif"),
        (RAMP.astype(np.float32), "x.tif"),
        ((RAMP * 255).astype(np.float32), "x.tif"),
        ((RAMP * 255).astype(np.uint8), "x.png"),
    ],
)
def test_every_depth_is_scaled_by_its_range(tmp_path, values, name):
    found = read_image(saved(tmp_path, values, name), None)
    assert found.shape == (1, 4, 4) and found.dtype == np.uint8
    assert np.abs(found[0] - 255 * RAMP).max() <= 1
    colour = read_image(saved(tmp_path, values, name), 4)
    assert colour.shape == (3, 4, 4) and (colour == colour[0]).all() and np.abs(colour[0] - 255.0 * RAMP).max() <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e6])
def test_floats_of_no_known_range_say_so(tmp_path, value):
    values = RAMP.astype(np.float32).copy()
    values[0, 0] = value
    with pytest.raises(Unreadable, match="NaN or infinity|pixels from .* expected 0 to 1") as raised:
        read_image(saved(tmp_path, values, "x.tif"), None)
    assert raised.value.kind == "no known range"


def test_a_turned_photograph_is_upright(tmp_path):
    upright = np.zeros((20, 10, 3), np.uint8)
    upright[:10] = (255, 0, 0)  # red above black
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: turn by 270 degrees to see it upright
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    path = saved(tmp_path, stored, "x.jpg", exif=exif, quality=95, subsampling=0)
    found = read_image(path, None)
    assert found.shape == (3, 20, 10) and found[0, :8].min() > 200 and found[0, 12:].max() < 60


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_show_white(tmp_path, mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 4))
    found = read_image(saved(tmp_path, image.convert(mode)), None)
    assert (found[:, :, :2] == 0).all() and (found[:, :, 2:] == 255).all()


def test_palettes_and_cmyk_have_their_colours(tmp_path):
    red = np.full((8, 8, 3), (250, 10, 10), np.uint8)
    palette = read_image(saved(tmp_path, Image.fromarray(red).convert("P", palette=Image.Palette.ADAPTIVE)), None)
    assert np.abs(palette.astype(int) - red.transpose(2, 0, 1)).max() <= 4
    cmyk = read_image(saved(tmp_path, Image.fromarray(red).convert("CMYK"), "x.jpg", quality=95), None)
    assert np.abs(cmyk.astype(int) - red.transpose(2, 0, 1)).max() <= 6


def test_damaged_files_say_so(tmp_path):
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(Unreadable, match="cannot identify image file") as raised:
        read_image(tmp_path / "x.png", 8)
    assert raised.value.kind == "damaged"
