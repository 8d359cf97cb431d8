"""Problems whose mutual information is known in nats: 12 that intervals are checked on."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import digamma, gammaln, i0e

Draw = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
RING_WIDTH = 0.0648
"""At this width the ring has .97 nats."""
Map = Callable[[np.ndarray], np.ndarray]


def correlated(correlation: float, dimensions: int = 1, of_x: Map = np.asarray, of_y: Map = np.asarray) -> Draw:
    """Pairs of Gaussians, each side through a strictly increasing map."""

    def draw(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, noise = generator.standard_normal((2, n, dimensions))
        return of_x(x), of_y(correlation * x + math.sqrt(1 - correlation**2) * noise)

    return draw


def gaussian_nats(correlation: float, dimensions: int = 1) -> float:
    return -dimensions / 2 * math.log(1 - correlation**2)


def of_nats(nats: float, dimensions: int) -> float:
    """The correlation that gives these nats."""
    return math.sqrt(1 - math.exp(-2 * nats / dimensions))


def student(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bivariate t of one degree of freedom (Cauchy), correlation .6."""
    x, y = correlated(0.6)(n, generator)
    scale = 1 / np.sqrt(generator.chisquare(1, (n, 1)))
    return x * scale, y * scale


def student_nats(freedom: float = 1, correlation: float = 0.6) -> float:
    def entropy(d: int) -> float:
        half = (freedom + d) / 2
        constant = gammaln(half) - gammaln(freedom / 2) - d / 2 * math.log(freedom * math.pi)
        return float(half * (digamma(half) - digamma(freedom / 2)) - constant)

    return 2 * entropy(1) - entropy(2) - 0.5 * math.log(1 - correlation**2)


def ring(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    angle = generator.uniform(0, 2 * np.pi, n)
    points = np.c_[np.cos(angle), np.sin(angle)] + RING_WIDTH * generator.standard_normal((n, 2))
    return points[:, :1], points[:, 1:]


def _entropy(density: np.ndarray, grid: np.ndarray, measure: np.ndarray | float = 1.0) -> float:
    terms = np.where(density > 0, density * np.log(np.maximum(density, 1e-300)), 0.0)
    return -float(np.trapezoid(terms * measure, grid))


def ring_nats(width: float = RING_WIDTH) -> float:
    radius = np.linspace(1e-9, 1 + 8 * width, 20_001)
    variance = width**2
    joint = np.exp(-((radius - 1) ** 2) / 2 / variance) * i0e(radius / variance) / (2 * np.pi * variance)
    x = np.linspace(-1 - 8 * width, 1 + 8 * width, 2001)
    angle = (np.arange(5000) + 0.5) / 5000 * np.pi
    kernel = np.exp(-((x[:, None] - np.cos(angle)) ** 2) / 2 / variance)
    margin = kernel.mean(1) / math.sqrt(2 * np.pi * variance)
    return 2 * _entropy(margin, x) - _entropy(joint, radius, 2 * np.pi * radius)


def uniform_noise(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Uniform in [0, 1] plus uniform noise in [0, 1/2]: 1/4 + log 2 nats."""
    x, noise = generator.uniform(size=(2, n, 1))
    return x, x + 0.5 * noise


def erased_bits(k: int, share: float) -> Draw:
    def draw(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        bits = generator.integers(2, size=(n, k))
        return bits, (2.0 * bits - 1) * (generator.random((n, k)) >= share)

    return draw


def independent_label(mean: float) -> Draw:
    def draw(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return generator.integers(4, size=n), generator.normal(mean, 1, n)

    return draw


def shifted_label(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    label = generator.integers(3, size=n)
    return label, 1.5 * label + generator.standard_normal(n)


def shifted_label_nats() -> float:
    y = np.linspace(-8, 11, 100_001)
    density = np.mean([np.exp(-((y - 1.5 * s) ** 2) / 2) for s in range(3)], 0) / math.sqrt(2 * np.pi)
    return _entropy(density, y) - 0.5 * math.log(2 * np.pi * math.e)


PROBLEMS: dict[str, tuple[Draw, float]] = {
    "Gaussian, correlation .5": (correlated(0.5), gaussian_nats(0.5)),
    "Gaussian, correlation .9": (correlated(0.9), gaussian_nats(0.9)),
    "Gaussian, 3 pairs, 1 nat": (correlated(of_nats(1, 3), 3), 1.0),
    "Gaussian, 3 pairs, 2 nats": (correlated(of_nats(2, 3), 3), 2.0),
    "bivariate t": (student, student_nats()),
    "ring": (ring, ring_nats()),
    "uniform noise": (uniform_noise, 0.25 + math.log(2)),
    "4 bits, a quarter erased": (erased_bits(4, 0.25), 3 * math.log(2)),
    "3 bits, half erased": (erased_bits(3, 0.5), 1.5 * math.log(2)),
    "monotone maps (exp, cube)": (correlated(0.8, 1, lambda x: np.exp(3 * x), lambda y: y**3),
                                  gaussian_nats(0.8)),
    "independent label, feature N(1e6, 1)": (independent_label(1e6), 0.0),
    "label and shifted Gaussian": (shifted_label, shifted_label_nats()),
}  # fmt: skip
