"""A model and transcoders that nothing was trained into, under faithfulness curves."""

from __future__ import annotations

import numpy as np
import torch

from eval.claims import Claim
from llm_codes.configs.faithfulness import FaithfulnessOptions
from llm_codes.lenses.faithfulness.claims import claims_of
from llm_codes.lenses.faithfulness.gates import FEATURES, NEURONS, SHUFFLED, shuffled
from llm_codes.lenses.faithfulness.prompts import KINDS, Prompt
from llm_codes.lenses.faithfulness.rows import Curve
from llm_codes.lenses.faithfulness.study import all_curves
from llm_codes.lenses.faithfulness.together import curves_together
from llm_codes.lenses.faithfulness.untrained import own_targets
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.models import Model, load_model, untrained_like
from tests.claims_meta.rows import Material, Row
from tests.llm_codes.lenses.graphs.conftest import random_transcoders

PROMPTS, LENGTH, WIDTH, VOCABULARY = 10, 9, 96, 320
OPTIONS = FaithfulnessOptions(per_kind=1, steps=2, graph_features=60)


def curves_of(model: Model, *, other_decoders: bool = False, beside: bool = True) -> list[Curve]:
    """The study of a model with random transcoders, at places of random text."""
    transcoders = open_transcoders(model, random_transcoders(model, WIDTH))
    generator = np.random.default_rng(0)
    windows = generator.integers(1, VOCABULARY, (PROMPTS + 2, LENGTH + 4))
    prompts = [
        Prompt(KINDS[n % len(KINDS)], (0, *words[1:LENGTH]), words[LENGTH], words[LENGTH + 1], n)
        for n, words in enumerate(windows[:PROMPTS].tolist())
    ]
    used = shuffled(tuple(transcoders)) if other_decoders else transcoders
    documents = list(range(len(windows)))
    asked = prompts if beside else own_targets(model, prompts)
    found = all_curves(model, used, asked, torch.as_tensor(windows), documents, OPTIONS, beside=beside)
    return curves_together(found, asked, {FEATURES: WIDTH, SHUFFLED: WIDTH, NEURONS: 256})


def judged(material: Material, *, other_decoders: bool) -> list[Claim]:
    model = load_model(material.model, dtype="float64")
    control = curves_of(untrained_like(model, 1), beside=False)
    return claims_of(curves_of(model, other_decoders=other_decoders), control)


ROW = Row(
    {
        "untrained": lambda material: judged(material, other_decoders=False),
        "shuffled": lambda material: judged(material, other_decoders=True),
    },
    without={
        "planted": "needs a model of which a hundredth of the features, and not as many neurons, does what it does: "
        "trained transcoders"
    },
)
