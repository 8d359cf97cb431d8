"""Networks whose walls were placed by hand: each statement on polytopes of images is true of one of them.

All have one architecture (a convolution, hidden layers, two outputs) and read images of 4 x 4 blocks of one
colour each. Weights are planted, everything else goes through the study. So that no control shows the same, what a
unit does not read it reads twice, with weights that cancel: `BIG` times a value less `BIG - 1` times its copy. Shuffled
weights lose the cancellation, and fresh ones never had it.

Axes: image, class (one of the first twelve blocks), block, unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.models import VisionModel

CLASSES, PER_CLASS, BLOCKS, SIDE = 12, 4, 16, 8
CHANNELS, UNITS, OUTPUTS = 32, 128, 2
CLASS_WALLS, SHADES, SHADE = 8, 31, 2 / 255
BIG = 8.0
FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH = 0, 3, 5, 7, 9, 11
"""Where the layers stand in the network; the last of all makes the outputs."""
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)


@dataclass(frozen=True)
class World:
    """A network, images that it reads, how the study looks at them, and how the statements begin that are true."""

    model: VisionModel
    images: np.ndarray
    labels: np.ndarray
    config: PolytopesConfig
    statements: tuple[str, ...]


def network(hidden: int = 3) -> nn.Sequential:
    """A convolution, `hidden` equally wide layers and two outputs, with weights as their constructors draw them."""
    torch.manual_seed(0)
    widths = [CHANNELS * BLOCKS, *(UNITS,) * hidden]
    layers = [part for sizes in pairwise(widths) for part in (nn.Linear(*sizes), nn.ReLU())]
    module = nn.Sequential(nn.Conv2d(3, CHANNELS, 2, 2), nn.ReLU(), nn.Flatten(), *layers, nn.Linear(UNITS, OUTPUTS))
    return module.requires_grad_(False).eval()


def emptied(module: nn.Sequential, *places: int) -> nn.Sequential:
    """With weights of 0 and units that are never on, in these layers or in all."""
    for place in places or (FIRST, *range(SECOND, len(module), 2)):
        nn.init.zeros_(module[place].weight)
        nn.init.constant_(module[place].bias, -1.0)
    return module


def world(
    statements: Sequence[str],
    module: nn.Sequential,
    blocks: np.ndarray,
    labels: np.ndarray = LABELS,
    **options: object,
) -> World:
    """blocks [image channel block], brightness in 0..1: every block is one colour."""
    grid = blocks.reshape(len(blocks), 3, 4, 4)
    pixels = np.round(255 * grid.repeat(2, axis=2).repeat(2, axis=3)).astype(np.uint8)
    names = tuple(map(str, range(OUTPUTS)))
    model = VisionModel("planted", module, SIDE, names, "by hand", mean=(0, 0, 0), deviation=(1, 1, 1))
    given = {
        "pairs": 2,
        "patches": 300,
        "slice_regions": 10,
        "slice_size": 0,
        "probes": 4,
        "exact_up_to": 100_000,
        **options,
    }
    config = PolytopesConfig(out="", samples=9, most_samples=9, **given)  # type: ignore[arg-type]
    return World(model, pixels, labels, config, tuple(statements))


def reads_block(module: nn.Sequential, channel: int, colour: int, bias: float) -> None:
    """A channel of the convolution becomes the brightness of each block in one colour, plus a bias."""
    module[FIRST].weight[channel, colour, 0, :] = torch.tensor([BIG, 1 - BIG])
    module[FIRST].bias[channel] = bias


def reads(module: nn.Sequential, place: int, unit: int, source: tuple[int, int], scale: float, bias: float) -> None:
    """A unit becomes `scale` times what both sources say, plus a bias."""
    first, copy = source
    module[place].weight[unit, first] += scale * BIG
    module[place].weight[unit, copy] += scale * (1 - BIG)
    module[place].bias[unit] = bias


def pair(number: int) -> tuple[int, int]:
    """Two units that are made alike."""
    return 2 * number, 2 * number + 1


def one_bright_block(generator: np.random.Generator) -> np.ndarray:
    """Images of a class: its block is bright, the others are dark. [image channel block]"""
    blocks = np.zeros((len(LABELS), 3, BLOCKS))
    blocks[np.arange(len(LABELS)), :, LABELS] = generator.uniform(0.94, 1.0, len(LABELS))[:, None]
    return blocks


def walls_on_the_way(generator: np.random.Generator) -> World:
    """Prediction 3: most walls half-way between the origin and an activation, few beyond, where the class changes.

    A class is one active unit, and noise of the same covariance has many weak ones, which cross the walls later.
    """
    module = emptied(network())
    for channel in (0, 1):
        reads_block(module, channel, 0, -0.05)
    near, ways = (0.15, 0.45, 0.5, 0.55), 5
    for one in range(CLASSES):
        block, code = (one, BLOCKS + one), pair(one)
        for unit in code:
            reads(module, SECOND, unit, block, 1 / 0.92, 0.0)
        for way, wall in enumerate((*near, 2.85)):
            for unit in pair(ways * one + way):
                reads(module, THIRD, unit, code, 1.0, -wall)
                reads(module, FOURTH, unit, pair(ways * one + 2), 1 / (1 - 0.5), -wall)
        reads(module, -1, 1, pair(ways * one + 4), 40.0, 0.0)
    module[-1].bias[:] = torch.tensor([0.0, -1.0])
    return world(["P3: a density peak", "P3: classes still change"], module, one_bright_block(generator), pairs=36)


def walls_between_classes(generator: np.random.Generator) -> World:
    """Prediction 2: early walls cut the noise of the green and blue blocks, late ones stand between classes."""
    module = emptied(network(5))
    for channel in (0, 1):
        reads_block(module, channel, 0, 0.05)
    for channel in range(2, CHANNELS):
        reads_block(module, channel, 1 + channel % 2, 0.05 if channel < 6 else -0.5)
    green, blue = (2 * BLOCKS, 4 * BLOCKS), (3 * BLOCKS, 5 * BLOCKS)
    first_wall = 0
    for passed, (place, walls) in enumerate(((SECOND, 20), (THIRD, 9), (FOURTH, 6), (FIFTH, 4), (SIXTH, 5))):
        for one in range(CLASSES):
            source = (one, BLOCKS + one) if place == SECOND else pair(one)
            for unit in pair(one) if place != SIXTH else range(CLASS_WALLS * one, CLASS_WALLS * (one + 1)):
                reads(module, place, unit, source, 1.0, -0.5 if place == SIXTH else 0.0)
        for wall in range(first_wall, 44):
            first, copy = green if wall % 2 else blue
            source = (first + wall % BLOCKS, copy + wall % BLOCKS) if place == SECOND else pair(CLASSES + wall)
            units = pair(CLASSES + wall) if place != SIXTH else pair(CLASSES * CLASS_WALLS // 2 + wall - first_wall)
            for unit in units:
                reads(module, place, unit, source, 1.0, -0.55 - 0.1 * passed if wall < first_wall + walls else 0.1)
        first_wall += walls
    blocks = one_bright_block(generator)
    blocks[:, 1:] = generator.uniform(0.1, 0.9, (len(LABELS), 2, BLOCKS))
    return world(["P2: density between", "P2: the more so"], module, blocks)


def maps_as_far_as_codes(generator: np.random.Generator) -> World:
    """Footnote: every wall changes the affine map by as much, in a direction of its own."""
    module = emptied(network(4))
    for colour in range(3):
        for channel in (2 * colour, 2 * colour + 1):
            reads_block(module, channel, colour, 0.05)
    for number in range(3 * BLOCKS):
        colour, block = divmod(number, BLOCKS)
        source = (2 * colour * BLOCKS + block, (2 * colour + 1) * BLOCKS + block)
        for unit in pair(number):
            reads(module, SECOND, unit, source, 1.0, 0.0)
            reads(module, THIRD, unit, pair(number), 1.0, 0.0)
            reads(module, FOURTH, unit, pair(number), 1.0, 0.0)
        reads(module, FIFTH, number, pair(number), 1.0, -0.55)
        module[-1].weight[number % OUTPUTS, number] = 1.0
    blocks = generator.uniform(0.02, 0.98, (len(LABELS), 3, BLOCKS))
    return world(["Footnote"], module, blocks, probes=200)


def shades_of_classes(generator: np.random.Generator) -> World:
    """Prediction 1: codes and activations tell the shade of red (the class), and not the loud green and blue."""
    module = emptied(network(), FIRST)
    for channel in range(SHADES - 1):
        reads_block(module, channel, 0, -(SHADE * (channel + 0.5) + 0.1))
        for colour in (1, 2):
            module[FIRST].weight[channel, colour, 0, :] = torch.tensor([BIG, -BIG])
    labels = np.repeat(np.arange(SHADES), 9)
    blocks = generator.uniform(0, 1, (len(labels), 3, BLOCKS))
    blocks[:, 0] = 0.1 + SHADE * labels[:, None]
    beginnings = ["P1 (images): clusters of channel codes", "P1 (images): clusters of one place"]
    return world(beginnings, module, blocks, labels, patches=1400)


PLANTED: Sequence[Callable[[np.random.Generator], World]] = (
    walls_on_the_way,
    walls_between_classes,
    maps_as_far_as_codes,
    shades_of_classes,
)
