"""Stimuli that move along a closed path: a dot on a circle, a drifting grating; and images without their structure.

Axis glossary: ``frame`` time (frame n would be frame 0 again), ``channel``, ``height``, ``width``, ``coordinate`` the
cosine and sine of the phase.

Marshall & Kirchner 2023, Fig. 4: a dot on a circle, projected at random from every layer. Here dot and grating are
rendered with antialiasing, so that the stimulus itself is continuous in time however fine the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from eval.errors import UserError, known_name

STIMULI = ("dot", "grating")


@dataclass(frozen=True)
class Stimulus:
    """Frames in [0, 1] and where on the circle they are.

    frames: ``float32 [frame channel height width]``. coordinates: ``[frame 2]``, cosine and sine of the phase.
    settings: what it was made with.
    """

    name: str
    frames: Float[np.ndarray, "frame channel height width"]
    coordinates: Float[np.ndarray, "frame coordinate"]
    settings: dict[str, Any]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def pixels(self) -> Float[np.ndarray, "frame pixel"]:
        """Frames as rows, in float64."""
        return self.frames.reshape(len(self.frames), -1).astype(np.float64)


def _phases(n_frames: int) -> np.ndarray:
    if n_frames < 3:
        raise UserError(f"expected at least 3 frames; got {n_frames}; a trajectory needs a path")
    return 2 * np.pi * np.arange(n_frames) / n_frames


def _finish(name: str, grey: np.ndarray, channels: int, noise: float, seed: int, settings: dict[str, Any]) -> Stimulus:
    """Grey frames ``[frame height width]`` repeated over channels, with independent noise per frame and channel."""
    if noise < 0:
        raise UserError(f"expected noise >= 0; got {noise}; it is a standard deviation on pixels in [0, 1]")
    frames = np.repeat(grey[:, None].astype(np.float32), channels, axis=1)
    if noise > 0:
        generator = np.random.default_rng(seed)
        frames = np.clip(frames + noise * generator.standard_normal(frames.shape, dtype=np.float32), 0, 1)
    phase = _phases(len(grey))
    coordinates = np.column_stack([np.cos(phase), np.sin(phase)])
    return Stimulus(name, frames, coordinates, settings | {"channels": channels, "noise": noise, "seed": seed})


def moving_dot(
    n_frames: int = 200,
    *,
    image_size: int = 64,
    channels: int = 3,
    radius: float = 0.3,
    dot_size: float = 0.08,
    noise: float = 0.0,
    seed: int = 0,
) -> Stimulus:
    """A white dot on black, once around a circle.

    Args:
        n_frames: evenly spaced positions. image_size: side in pixels.
        radius, dot_size: radius of the path and of the dot, as shares of the side; the dot must stay in the picture.
        noise: standard deviation of independent pixel noise. seed: of the noise.

    Raises:
        UserError: fewer than 3 frames, a dot that leaves the picture, negative noise.
    """
    phase = _phases(n_frames)
    if not (dot_size > 0 and radius >= 0 and radius + dot_size <= 0.5):
        raise UserError(
            f"expected dot_size > 0 and radius + dot_size <= 0.5; got {dot_size} and {radius}; "
            "the dot would leave the picture"
        )
    row, column = np.mgrid[0:image_size, 0:image_size] + 0.5
    centre_row = image_size * (0.5 + radius * np.sin(phase))[:, None, None]
    centre_column = image_size * (0.5 + radius * np.cos(phase))[:, None, None]
    distance = np.hypot(row - centre_row, column - centre_column)
    grey = np.clip(dot_size * image_size - distance + 0.5, 0, 1)
    settings = {"n_frames": n_frames, "image_size": image_size, "radius": radius, "dot_size": dot_size}
    return _finish("dot", grey, channels, noise, seed, settings)


def drifting_grating(
    n_frames: int = 200,
    *,
    image_size: int = 64,
    channels: int = 3,
    cycles: float = 4.0,
    orientation: float = 0.0,
    contrast: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Stimulus:
    """A sine grating that drifts by one period.

    Args:
        cycles: periods per picture. orientation: direction of the drift in radians. contrast: in (0, 1].
        others: as for ``moving_dot``.

    Raises:
        UserError: fewer than 3 frames, contrast outside (0, 1], more cycles than half the pixels, negative noise.
    """
    phase = _phases(n_frames)
    if not 0 < contrast <= 1 or not 0 < cycles <= image_size / 2:
        raise UserError(
            f"expected contrast in (0, 1] and cycles in (0, {image_size / 2:g}]; got {contrast} and {cycles}; "
            "finer gratings alias"
        )
    row, column = (np.mgrid[0:image_size, 0:image_size] + 0.5) / image_size
    along = column * np.cos(orientation) + row * np.sin(orientation)
    grey = 0.5 + 0.5 * contrast * np.sin(2 * np.pi * cycles * along - phase[:, None, None])
    settings = {"n_frames": n_frames, "image_size": image_size, "cycles": cycles, "orientation": orientation}
    return _finish("grating", grey, channels, noise, seed, settings | {"contrast": contrast})


def make_stimulus(name: str, n_frames: int, image_size: int, channels: int, **settings: Any) -> Stimulus:
    """``moving_dot`` or ``drifting_grating`` by name."""
    maker = {"dot": moving_dot, "grating": drifting_grating}[known_name(name, STIMULI, "stimulus")]
    return maker(n_frames, image_size=image_size, channels=channels, **settings)


def random_images(n: int, channels: int, size: int, seed: int = 0) -> UInt8[np.ndarray, "image channel size size"]:
    """Independent uniform pixels: images with no structure at all."""
    return np.random.default_rng(seed).integers(0, 256, (n, channels, size, size), dtype=np.uint8)


def phase_scrambled(
    images: UInt8[np.ndarray, "image channel height width"], seed: int = 0
) -> UInt8[np.ndarray, "image channel height width"]:
    """Images with their own power spectrum and mean but random phases (the same shift of phase in every channel).

    Second-order statistics of each image stay; edges, objects and whatever else lives in phases are gone. Pixels are
    clipped to 0..255.
    """
    generator = np.random.default_rng(seed)
    n, _, height, width = images.shape
    noise = np.fft.rfft2(generator.standard_normal((n, 1, height, width)))
    shift = np.exp(1j * np.angle(noise))  # phases of real noise: the inverse transform stays real
    shift[:, :, 0, 0] = 1.0
    scrambled = np.fft.irfft2(np.fft.rfft2(images.astype(np.float64)) * shift, s=(height, width))
    return np.clip(np.rint(scrambled), 0, 255).astype(np.uint8)
