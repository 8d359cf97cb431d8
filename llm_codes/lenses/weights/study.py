"""Which few features below make a feature, over a whole corpus? Weights between the features of all layers.

    # 1 census       which features live, mean norm denominators                       fitting documents
    # 2 screen       candidates of each target among all paths: residual stream, heads
    # 3 fit          every method's edges, as many for each (`methods`)
    # 4 predict      targets from these edges                                          held-out documents
    # 5 intervene    take sources out of the real model, watch the targets             held-out documents

An attribution graph holds for one prompt. A virtual weight (decoder times encoder) is global but full of interference:
most large ones never act. A connector is a sparse regression on all that arrives, so that features explain one another
away [FC]. Which of them foretells interventions best is measured here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from eval.errors import UserError
from eval.pieces import Arrays, Pieces
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.weights import WeightsOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.lenses.graphs.windows import one_window_a_document
from llm_codes.lenses.saes.study import with_changes
from llm_codes.lenses.weights.comparison import agreements, fits
from llm_codes.lenses.weights.fitted import Fitted, fit_weights
from llm_codes.lenses.weights.held_out import errors_by_document
from llm_codes.lenses.weights.interventions import tests_of_window
from llm_codes.lenses.weights.paths import columns_of
from llm_codes.lenses.weights.rows import WeightsResults, WeightTest
from llm_codes.models import load_model


def feature_weights(
    model: Any,
    train: Corpus,
    held_out: Corpus,
    transcoders: Any = None,
    options: WeightsOptions | None = None,
    harvest_options: HarvestOptions | None = None,
    *,
    seed: int = 0,
    pieces: Pieces | None = None,
    **changes: Any,
) -> WeightsResults:
    """Which weights between features of different layers foretell what happens when a feature is taken out?

    Args:
        model: what `load_model` opens. train: documents to screen and fit on; held_out: others, to predict and test on.
        transcoders: what `open_transcoders` takes; none: the embedded model's own.
        options, harvest_options, changes: the command's, or single ones by name. seed: draws and intervals.
        pieces: where what is finished is kept: the fit, the prediction, every tested window.

    Raises:
        UserError: transcoders that do not fit the model or are missing at a layer; no feature that lives often enough;
            blocks that cannot be frozen; a context of fewer than 2 tokens.
    """
    model = load_model(model)
    asked, walk = with_changes((options or WeightsOptions(), harvest_options or HarvestOptions()), changes)
    opened = open_transcoders(model, transcoders)
    kept = pieces or Pieces()
    if model.n_layers < 2:
        raise UserError(f"expected a model of at least 2 layers; {model.name} has {model.n_layers}; take a deeper one")
    columns = columns_of(opened, int(model.bridge.cfg.n_heads))

    def fit() -> tuple[dict[str, str], Arrays]:
        return {}, fit_weights(model, train, opened, columns, asked, walk, seed).arrays()

    fitted = Fitted.from_arrays(columns, kept.with_arrays("weights", dict, fit)[1])
    _, errors = kept.with_arrays(
        "held-out", dict, lambda: ({}, errors_by_document(model, held_out, opened, fitted, walk))
    )
    windows = one_window_a_document(held_out, asked.windows_tested, held_out.context)

    def tested(number: int) -> tuple[WeightTest, ...]:
        tokens, generator = torch.tensor(windows[number]), np.random.default_rng([seed, number])
        return tests_of_window(model, tokens, opened, fitted, asked, walk, number, generator)

    parts = {f"window-{number}": partial(tested, number) for number in range(len(windows))}
    tests = [test for part in kept.items(tuple[WeightTest, ...], parts) for test in part]
    return WeightsResults(
        agreements(tests, seed),
        fits(errors, fitted.share_of_heads(), seed),
        len(fitted.targets),
        asked.edges_per_feature,
        train.n_tokens,
        len(windows),
        tuple(tests),
    )
