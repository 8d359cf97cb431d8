"""How well do each method's edges predict the targets on held-out documents? Squared errors by document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.statistics.resampling import bootstrap_ratio
from eval.scores import Score
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.weights.fitted import ACTIVATION, OWN, REFITTED, WHAT, Fitted
from llm_codes.lenses.weights.methods import METHODS, Edges
from llm_codes.lenses.weights.paths import read_corpus
from llm_codes.models import Model

TRUTHS = {"pre-activation": (OWN, REFITTED), "activation": (ACTIVATION,)}
"""What is predicted, and the ways in which it is (see `Fitted`)."""


@torch.no_grad()
def errors_by_document(
    model: Model, corpus: Corpus, transcoders: Sequence[LayerTranscoder], fitted: Fitted, walk: HarvestOptions
) -> dict[str, np.ndarray]:
    """Squared errors of each target in units of its variance on these documents, summed over targets, [document].

    `<what>.<method>` (see `Fitted`; a predicted activation below 0 counts as 0), and `<what>.total` for the squared
    deviations from the mean.
    """
    targets, size = fitted.targets, len(corpus.documents)
    shape = (size, len(targets))
    sums, squares = ({of: torch.zeros(shape, dtype=torch.float64) for of in TRUTHS} for _ in range(2))
    errors = {(what, name): torch.zeros(shape, dtype=torch.float64) for what in WHAT for name in METHODS}
    counts = torch.zeros(size, dtype=torch.float64)
    for reading in read_corpus(model, corpus, transcoders, fitted.columns, walk, label="held-out"):
        arrives, document = reading.gathered(fitted.candidates), reading.document
        counts.index_add_(0, document, torch.ones(len(document), dtype=torch.float64))
        truths = (reading.preactivations(transcoders, targets), reading.activations(targets))
        for (of, predicted_so), truth in zip(TRUTHS.items(), truths, strict=True):
            sums[of].index_add_(0, document, truth.double())
            squares[of].index_add_(0, document, truth.double().square())
            for what, name in product(predicted_so, METHODS):
                predicted = _predicted(arrives, fitted.edges[what][name], fitted.constants[what][name])
                predicted = predicted.relu() if what == ACTIVATION else predicted
                errors[what, name].index_add_(0, document, (predicted - truth).double().square())
    out: dict[str, np.ndarray] = {}
    for of, predicted_so in TRUTHS.items():
        mean = sums[of].sum(0) / counts.sum()
        spread = squares[of] - 2 * mean * sums[of] + counts[:, None] * mean.square()
        scale = spread.sum(0).clamp(min=1e-30)
        for what in predicted_so:
            out[f"{what}.total"] = (spread / scale).sum(1).numpy()
            out |= {f"{what}.{name}": (errors[what, name] / scale).sum(1).numpy() for name in METHODS}
    return {name: values[counts.numpy() > 0] for name, values in out.items()}


def _predicted(
    arrives: Float[Tensor, "target input row"], edges: Edges, constants: Float[Tensor, " target"]
) -> Float[Tensor, "row target"]:
    chosen = arrives.gather(1, edges.places[:, :, None].expand(-1, -1, arrives.shape[2]))
    return torch.einsum("te,ten->nt", edges.weights, chosen) + constants


def share_left(errors: Mapping[str, np.ndarray], what: str, method: str, less: str = "", *, seed: int = 0) -> Score:
    """FVU, every target counting alike, interval over documents; with `less`, that method's FVU less this one's."""
    own, total = errors[f"{what}.{method}"], errors[f"{what}.total"]
    return bootstrap_ratio(errors[f"{what}.{less}"] - own if less else own, total, seed=seed)
