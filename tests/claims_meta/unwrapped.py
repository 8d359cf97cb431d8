"""Networks and digits of which the statements about unwrapped layers are untrue, in miniature."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from eval.claims import Claim
from tests.claims_meta.rows import Material, Row
from vision_codes.configs.unwrap import UnwrapConfig
from vision_codes.lenses.unwrap import study
from vision_codes.lenses.unwrap.claims import claims_of
from vision_codes.lenses.unwrap.digits import Digits
from vision_codes.lenses.unwrap.network import Network, fresh_network, train_network

CONFIG = UnwrapConfig(
    out="", hidden=24, expansion=2, active=(8, 6, 6), edges=8, epochs=12, sae_steps=150, connector_steps=60,
    refit_steps=60, joint_steps=40,
)  # fmt: skip
SIDE, CLASSES, TRAIN, TEST = 6, 6, 600, 300
Train = Callable[[Digits, int, int, int], Network]


def digits(seed: int) -> Digits:
    """Images of one of six random templates with noise."""
    generator = torch.Generator().manual_seed(seed)
    templates = torch.randn(CLASSES, SIDE**2, generator=generator)
    labels = torch.randint(CLASSES, (TRAIN + TEST,), generator=generator)
    images = templates[labels] + 0.5 * torch.randn(TRAIN + TEST, SIDE**2, generator=generator)
    return Digits(images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:], SIDE)


def judged(train: Train, labels_shuffled: bool = False, seeds: int = 3) -> list[Claim]:
    """The study over seeds, with this in place of training."""
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train_network", train)
        for seed in range(seeds):
            shown = digits(seed)
            if labels_shuffled:
                generator = torch.Generator().manual_seed(seed)
                for part in ("train_labels", "test_labels"):
                    values = getattr(shown, part)
                    setattr(shown, part, values[torch.randperm(len(values), generator=generator)])
            rows.append(study.unwrap(shown, CONFIG, seed).measured.to_json())
    return claims_of(rows)


def untrained(material: Material) -> list[Claim]:
    """Networks as another seed starts them."""
    return judged(lambda shown, hidden, epochs, seed: fresh_network(shown, hidden, seed + 1000).eval())


def shuffled(material: Material) -> list[Claim]:
    return judged(train_network, labels_shuffled=True)


def planted(material: Material) -> list[Claim]:
    """Templates that a small network tells apart with room to spare."""
    return judged(train_network)


SMALL = "a network this small is no truth: at 24 units its layers are not replaced, nor its start told from another"
ROW = Row(
    {"untrained": untrained, "shuffled": shuffled, "planted": planted},
    unplanted={
        "Two layers can be replaced": SMALL,
        "The analytic start is a local minimum": SMALL,
        "A random start reaches": SMALL,
        "Tied dictionaries beat untied ones": SMALL,
        "Connectors reach MSE .032": "no verdict is given: the post does not state the units of its features",
    },
)
