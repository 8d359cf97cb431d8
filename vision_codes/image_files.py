"""One image file as eight-bit pixels: its range, its orientation, its transparency, its size in memory.

Every colour is scaled from the range that its file has (eight bits, sixteen bits, floats in [0, 1]), turned as its EXIF
orientation says, and laid over white where it is transparent. A file that cannot be read says why in one of few words
(`Unreadable.kind`), so that a folder's losses can be counted.
"""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

MAXIMUM_PIXELS = 100_000_000
"""Images beyond this many pixels are not decoded: a few bytes on disk can hold gigabytes (a decompression bomb)."""
BACKGROUND = "white"
"""What shows through transparent pixels."""
EIGHT_BITS, SIXTEEN_BITS = 255, 65535
GREY_MODES = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class Unreadable(Exception):
    """Why a file gave no image. kind: damaged, too large, or no known range; the text says more."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def read_image(path: Path, size: int | None) -> UInt8[np.ndarray, "channel height width"]:
    """One file as ``uint8``: colour, its shorter side resized to `size` and the centre cropped to a square; as it is
    (grey with one channel, colour with three) where `size` is None.

    Raises `Unreadable`: damaged, more than `MAXIMUM_PIXELS`, or floats and 32-bit numbers of no known range.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is below Pillow's
            with Image.open(path) as image:
                if image.width * image.height > MAXIMUM_PIXELS:
                    raise Unreadable("too large", _too_large(image.width * image.height))
                grey = image.mode in GREY_MODES and size is None
                pixels = _eight_bits(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise Unreadable("too large", _too_large(None)) from None
    except (OSError, ValueError, SyntaxError, EOFError, zlib.error, MemoryError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unreadable("damaged", line) from error
    pixels = pixels.convert("L" if grey else "RGB")
    if size is not None:
        pixels = _square(pixels, size)
    array = np.asarray(pixels)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _too_large(pixels: int | None) -> str:
    found = "far more" if pixels is None else f"{pixels / 1e6:.0f}"
    return f"{found} megapixels, more than the limit of {MAXIMUM_PIXELS // 10**6}"


def _square(image: Any, size: int) -> Any:
    scale = size / min(image.size)
    image = image.resize((max(size, round(image.width * scale)), max(size, round(image.height * scale))))
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def _eight_bits(image: Any) -> Any:
    """The image with eight bits a channel and nothing transparent; mode L or RGB (or what Pillow turns into them)."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_scaled(np.asarray(image), image.mode))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB")
    return image.convert("L") if image.mode == "1" else image


def _scaled(values: np.ndarray, mode: str) -> UInt8[np.ndarray, "height width"]:
    """Sixteen-bit, 32-bit and float pixels as eight bits, by the smallest range that holds them."""
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise Unreadable("no known range", "pixels hold NaN or infinity")
    low, high = float(values.min()), float(values.max())
    ranges = {"F": (1, EIGHT_BITS, SIXTEEN_BITS), "I": (SIXTEEN_BITS, 2**32 - 1)}.get(mode, (SIXTEEN_BITS,))
    top = next((top for top in ranges if high <= top), None)
    if low < 0 or top is None:
        raise Unreadable("no known range", f"pixels from {low:.4g} to {high:.4g}; expected 0 to {ranges[0]}")
    return np.round(values * (EIGHT_BITS / top)).astype(np.uint8)
