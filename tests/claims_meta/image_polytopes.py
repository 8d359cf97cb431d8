"""Image networks without training, images out of order, and networks whose walls were placed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from eval.claims import Claim
from tests.claims_meta.planted_images import PLANTED
from tests.claims_meta.rows import Material, Row
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.lenses.polytopes.claims import all_claims
from vision_codes.lenses.polytopes.study import polytopes
from vision_codes.models import VisionModel

CLASSES, PER_CLASS, SIDE = 6, 6, 16
CONFIG = PolytopesConfig(
    out="", pairs=4, samples=9, most_samples=17, patches=300, slice_regions=40, exact_up_to=0, probes=4, layers=()
)


def network(seed: int) -> VisionModel:
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 10, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(10, 10, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(40, 16),
        nn.ReLU(), nn.Linear(16, CLASSES),
    )  # fmt: skip
    return VisionModel("small", module.eval(), SIDE, tuple(map(str, range(CLASSES))), "random")


def images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A template per class with noise, as bytes."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    templates = generator.integers(60, 196, (CLASSES, 3, SIDE, SIDE))
    noise = generator.integers(-40, 41, (len(labels), 3, SIDE, SIDE))
    return np.clip(templates[labels] + noise, 0, 255).astype(np.uint8), labels


def judged(model: VisionModel, shown: np.ndarray, labels: np.ndarray, config: PolytopesConfig = CONFIG) -> list[Claim]:
    found, artefacts = polytopes(model, shown, labels, config)
    return all_claims(found, artefacts.trends)


def untrained(material: Material) -> list[Claim]:
    model = network(11)  # none of the seeds of its controls
    model.module.requires_grad_(False)
    return judged(model, *images(1))


def shuffled(material: Material) -> list[Claim]:
    shown, labels = images(2)
    model = network(12)
    model.module.requires_grad_(False)
    return judged(model, shown, np.random.default_rng(0).permutation(labels))


UNPLANTED = "P1 (images): directions overlap"


def planted(material: Material) -> list[Claim]:
    """Of every world the statements that were planted in it, and the one that is planted in none."""
    found, said, beginnings = [], set(), [UNPLANTED]
    for make in PLANTED:
        one = make(np.random.default_rng(1))
        claims = judged(one.model, one.images, one.labels, one.config)
        for words in one.statements:
            found.append(next(claim for claim in holding_first(claims) if claim.claim.startswith(words)))
        found += [claim for claim in claims if claim.claim.startswith(UNPLANTED)]
        said |= {claim.claim for claim in claims}
        beginnings += one.statements
    assert [text for text in said if not text.startswith(tuple(beginnings))] == []
    return found


def holding_first(claims: Sequence[Claim]) -> list[Claim]:
    """A statement on several layers is true where it was planted: the layer at which it holds, if there is one."""
    return sorted(claims, key=lambda claim: claim.verdict != "holds")


TOO_FEW_LAYERS = "planted, it holds alone and not after Holm: over six layers a control's interval ends near 1 as well"
NONE_KNOWN = "in every small network that is known, random sets of twenty places meet several clusters nearly always"
ROW = Row(
    {"untrained": untrained, "shuffled": shuffled, "planted": planted},
    unplanted={"P2: the more so": TOO_FEW_LAYERS, UNPLANTED: NONE_KNOWN},
)
