"""Experiments without a network or data: closed forms, of channels for which the statements are true."""

from __future__ import annotations

from eval.claims import Claim
from tests.claims_meta.rows import Material, Row
from toy.capacity import study
from toy.capacity.claims import judge
from toy.configs.capacity import CapacityOptions


def many_levels(material: Material) -> list[Claim]:
    """A neuron of 256 levels, of which one is silence: what silence costs is below the margin."""
    narrow = CapacityOptions(bits=(8,), dropouts=(0.2,), layers=4, simulated_dropout=0.01, trials=200)
    return judge(study.measure(narrow))


CAPACITY = Row(
    {"planted": many_levels},
    without={
        "untrained": "closed forms of channels: no network is trained or untrained in them",
        "shuffled": "closed forms of channels: there is no data that could be shuffled",
    },
    unplanted={
        "fitted eigenvalue exponent": "arithmetic of one printed formula: the loss halves, whatever is measured",
    },
)
SPECTRA = Row(
    {},
    without=dict.fromkeys(
        ("untrained", "shuffled", "planted"), "its one row is a theorem, which is checked and not counted"
    ),
)
