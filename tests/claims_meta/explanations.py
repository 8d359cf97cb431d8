"""Recorded units of which the statement on scores by depth is untrue, or true [MK Fig. 7b]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eval.claims import Claim
from eval.explanation.comparison.claims import depth_claims
from eval.explanation.evaluate import Settings, rules_only
from eval.explanation.records import Book
from eval.explanation.results import UnitResult
from eval.explanation.units import Unit
from tests.claims_meta.rows import Material, Row
from tests.eval.explanation.planted import fires_on, make_book, make_windows

SETTINGS = Settings(n_resamples=50)
UNITS = 9
LAYERS = 3
NEURONS, PROJECTIONS = {0: 0.05, 1: 0.8, 2: 0.05}, {0: 0.8, 1: 0.05, 2: 0.8}
"""Noise by layer: neurons are explained at both ends, projections in the middle, as the source says."""
SAME = dict.fromkeys(range(LAYERS), 0.8)


def book_of(neurons: Mapping[int, float], projections: Mapping[int, float], seed: int) -> Book:
    """Units that answer to one token each, drowned in noise by layer."""
    units = {
        Unit(kind, layer, index): fires_on(index, noise=spread)
        for kind, noise in (("neuron", neurons), ("random", projections))
        for layer, spread in noise.items()
        for index in range(UNITS)
    }
    return make_book(make_windows(seed=seed), units, seed=seed)


def noise_book(seed: int) -> Book:
    """Units that answer to nothing, as a random network's would to a text that it does not read."""
    units = {
        Unit(kind, layer, index): lambda kept, generator: generator.standard_normal(kept.shape)
        for kind in ("neuron", "random")
        for layer in range(LAYERS)
        for index in range(UNITS)
    }
    return make_book(make_windows(seed=seed), units, seed=seed)


def judged(own: Book, control: Book) -> list[Claim]:
    """Explained, simulated and scored by the study, the control under the name of the untrained model."""
    results: list[UnitResult] = list(rules_only(own, SETTINGS))
    results += [replace(one, condition="untrained") for one in rules_only(control, SETTINGS)]
    return depth_claims(results, LAYERS, n_resamples=200)


def untrained(material: Material) -> Sequence[Claim]:
    return [*judged(book_of(SAME, SAME, 1), book_of(SAME, SAME, 2)), *judged(noise_book(3), noise_book(4))]


def shuffled(material: Material) -> Sequence[Claim]:
    """Units whose layers are dealt out at random, in the network and in its control."""
    generator = np.random.default_rng(0)
    dealt = [rules_only(book_of(NEURONS, PROJECTIONS, seed), SETTINGS) for seed in (5, 6)]
    out: list[UnitResult] = []
    for condition, results in zip(("", "untrained"), dealt, strict=True):
        layers = generator.permutation([one.unit.layer for one in results])
        out += [
            replace(one, condition=condition or one.condition, unit=replace(one.unit, layer=int(layer)))
            for one, layer in zip(results, layers, strict=True)
        ]
    return depth_claims(out, LAYERS, n_resamples=200)


def planted(material: Material) -> Sequence[Claim]:
    return judged(book_of(NEURONS, PROJECTIONS, 7), book_of(SAME, SAME, 8))


ROW = Row({"untrained": untrained, "shuffled": shuffled, "planted": planted})
