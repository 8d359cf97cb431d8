"""The untrained network with a chain of its own, evaluated alike: what of a connector is not the work of training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from llm_codes.configs.connectors import EvaluationOptions
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.circuits.rows import LogicForms, UntrainedEvaluation
from llm_codes.lenses.connectors.files import Chain, chain_hashes
from llm_codes.lenses.connectors.rows import Scorecard
from llm_codes.lenses.connectors.untrained import UntrainedChain
from llm_codes.lenses.saes.shipped import shipped_result
from llm_codes.models import Model

Measure = Callable[[Model, Chain], tuple[Scorecard, LogicForms]]
"""The connector's share of the gap, and its logic forms, of a model and its chain."""


def made_from(
    model: Model,
    chain: Chain,
    train: Corpus,
    held_out: Corpus,
    options: EvaluationOptions,
    walk: HarvestOptions,
    seed: int,
) -> dict[str, str]:
    """Of what the numbers beside the control are made, by content."""
    chosen = {"logic_outputs": options.logic_outputs, "exclude_positions": walk.exclude_positions, "seed": seed}
    texts = {name: str(one.describe()["sha256_of_tokens"]) for name, one in (("corpus", held_out), ("train", train))}
    hashes = {name: value for name, value in chain_hashes(chain).items() if name != "transcoder"}
    return {"model": model.weights_sha256, **hashes, **texts, "options": json.dumps(chosen, sort_keys=True)}


def untrained_evaluation(
    opened: UntrainedChain | None, made: Mapping[str, str], measure: Measure
) -> UntrainedEvaluation | None:
    """The untrained network's connector and logic forms: measured, or the results that ship.

    opened: none: the results that ship with the embedded model, if they were made from the same (`made`).
    """
    if opened is None:
        return shipped_result("evaluation", made, UntrainedEvaluation)
    scorecard, forms = measure(opened.model, opened.chain)
    return UntrainedEvaluation(dict(made), opened.sha256, scorecard.scorecard, forms)
