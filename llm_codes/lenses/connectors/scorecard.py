"""The causal scorecard: run the model with one MLP branch replaced in nine ways, on held-out documents.

Each row replaces the input or the output of one MLP; the residual stream around it is untouched, and so is position 0
(which the dictionaries are not trained on). A connector's own error is its gap to the row `SAE-out only`.
Axes: batch, position, width, document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.faithfulness import scorecard, share_of_gap
from eval.measures.statistics.resampling import bootstrap_ratio
from eval.progress import progress
from llm_codes.corpus import Corpus
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.connectors.reruns import ComputedOnce
from llm_codes.lenses.connectors.rows import FrontierRow, Scorecard, ScorecardRow
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.predictions import (
    add_by_document,
    counted,
    divergences,
    keep_first,
    log_probabilities,
    losses,
)
from llm_codes.models import Model
from llm_codes.sites import resolve_site

Replacement = Callable[[Float[Tensor, "token width"], Float[Tensor, "token width"]], Float[Tensor, "token width"]]
ROWS = (
    "original",
    "SAE-out only",
    "both SAEs",
    "connector",
    "analytic connector",
    "transcoder",
    "dense linear",
    "mean-ablated",
    "zero-ablated",
)
ORIGINAL, REFERENCE, CONNECTOR, ABLATED = "original", "SAE-out only", "connector", "mean-ablated"
SHARE_ROWS = (ORIGINAL, REFERENCE, CONNECTOR, ABLATED)
"""What the connector's share needs."""
WITHOUT_SHARE = (ORIGINAL, REFERENCE, ABLATED, "zero-ablated")


@dataclass
class RowSums:
    """By row of hooks, summed over each document's predicted tokens: cross-entropy and, where asked for, KL(model ||
    row), nats; and the number of those tokens. [document]"""

    ce: dict[Any, np.ndarray]
    kl: dict[Any, np.ndarray]
    tokens: np.ndarray

    def seen(self) -> RowSums:
        """Of the documents that have a predicted token."""
        kept = self.tokens > 0
        ce, kl = ({name: values[kept] for name, values in part.items()} for part in (self.ce, self.kl))
        return RowSums(ce, kl, self.tokens[kept])


@dataclass
class Branch:
    """An MLP branch of a model: the hook of its input and of its output."""

    model: Model
    hook_in: str
    hook_out: str

    def hooks(self, write: Replacement | None, read: Callable[[Tensor], Tensor] | None = None) -> list[Any]:
        """Hooks that replace the branch's input (`read`) or output (`write(x, y)`), position 0 apart."""
        seen: dict[str, Tensor] = {}

        def at_input(activation: Tensor, hook: Any) -> Tensor | None:
            seen["x"] = activation
            return None if read is None else keep_first(activation, read(_flat(activation)), 1)

        def at_output(activation: Tensor, hook: Any) -> Tensor | None:
            if write is None:
                return None
            return keep_first(activation, write(_flat(seen["x"]), _flat(activation)), 1)

        return [(self.hook_in, at_input), (self.hook_out, at_output)]

    def row_losses(
        self, corpus: Corpus, rows: Mapping[Any, list[Any]], batch_size: int = 16
    ) -> tuple[dict[Any, np.ndarray], np.ndarray]:
        """For each row of hooks the summed CE of each document, and the documents' numbers of predicted tokens."""
        sums = self.row_sums(corpus, rows, batch_size)
        return sums.ce, sums.tokens

    @torch.no_grad()
    def row_sums(
        self, corpus: Corpus, rows: Mapping[Any, list[Any]], batch_size: int = 16, *, with_kl: bool = False
    ) -> RowSums:
        """Sums of each row of hooks; with_kl: also of the model's own predictions from the row's.

        The prediction from position 0 is left out. One walk over the corpus; what lies below the branch is computed
        once per batch.
        """
        size = len(corpus.documents)
        ce = {name: np.zeros(size) for name in rows}
        kl = {name: np.zeros(size) for name in rows if with_kl}
        counts = np.zeros(size)
        n_batches = -(-len(corpus) // batch_size)
        with ComputedOnce(self.model, resolve_site(self.model, self.hook_in).layer) as once:
            for batch in progress(corpus.batches(batch_size), label="scorecard", total=n_batches, unit="batch"):
                once.forget()
                keep = counted(batch, 1)
                add_by_document(counts, batch, keep.double(), keep)
                own = log_probabilities(self.model, batch) if with_kl else None
                for name, hooks in rows.items():
                    row = own if own is not None and not hooks else log_probabilities(self.model, batch, hooks)
                    add_by_document(ce[name], batch, losses(row, batch), keep)
                    if own is not None:
                        add_by_document(kl[name], batch, divergences(own, row), keep)
        return RowSums(ce, kl, counts)

    def losses(self, corpus: Corpus, hooks: list[Any], batch_size: int = 16) -> tuple[np.ndarray, np.ndarray]:
        """Summed CE and number of predicted tokens of each document with one set of hooks."""
        sums, counts = self.row_losses(corpus, {"": hooks}, batch_size)
        return sums[""], counts


def _flat(activation: Tensor) -> Tensor:
    return activation.reshape(-1, activation.shape[-1]).float()


def connector_writes(connector: Connector, first: SAEFolder, second: SAEFolder) -> Replacement:
    """Encode the input, connect, decode: what a substituted MLP writes."""
    predict = connector.predictor()

    def write(x: Tensor, y: Tensor) -> Tensor:
        return second.decode(predict(first.encode_rows(x)))

    return write


def dense_linear(pairs: FeaturePairs, ridge: float = 1e-3) -> Replacement:
    """The least-squares linear map from MLP input to MLP output (training tokens), with a small ridge."""
    x, y = pairs.x.double(), pairs.y.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    covariance = (x - mean_x).T @ (x - mean_x)
    covariance += ridge * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
    weight = torch.linalg.solve(covariance, (x - mean_x).T @ (y - mean_y)).float()
    offset = (mean_y - mean_x @ weight.double()).float()
    return lambda x, y: x @ weight + offset


def replacements(
    branch: Branch,
    pairs: FeaturePairs,
    first: SAEFolder,
    second: SAEFolder,
    connector: Connector,
    analytic: Connector | None,
    transcoder: SAEFolder | None,
) -> dict[str, list[Any]]:
    """Hooks of the nine rows; a missing transcoder, or no analytic connector, leaves its row out (the caller says
    so)."""
    mean = pairs.mean_out
    rows: dict[str, list[Any]] = {
        "original": [],
        "SAE-out only": branch.hooks(lambda x, y: second.reconstruct(y)),
        "both SAEs": branch.hooks(lambda x, y: second.reconstruct(y), read=first.reconstruct),
        "connector": branch.hooks(connector_writes(connector, first, second)),
        "dense linear": branch.hooks(dense_linear(pairs)),
        "mean-ablated": branch.hooks(lambda x, y: mean.expand_as(y)),
        "zero-ablated": branch.hooks(lambda x, y: torch.zeros_like(y)),
    }
    if analytic is not None:
        rows["analytic connector"] = branch.hooks(connector_writes(analytic, first, second))
    if transcoder is not None:
        found = transcoder
        rows["transcoder"] = branch.hooks(lambda x, y: found.reconstruct(x))
    return {row: rows[row] for row in ROWS if row in rows}


def causal_scorecard(
    branch: Branch,
    corpus: Corpus,
    rows: Mapping[str, list[Any]],
    controls: Mapping[str, list[Any]] | None = None,
    *,
    batch_size: int = 16,
    seed: int = 0,
) -> Scorecard:
    """CE of every row and control with paired intervals, KL(model || row), and in both the share of the ablation gap of
    rows that map features: `(CE - CE(SAE-out only)) / (CE(mean-ablated) - CE(SAE-out only))`."""
    everything = {**rows, **(controls or {})}
    sums = branch.row_sums(corpus, everything, batch_size, with_kl=True).seen()
    shares, of_kl = (
        {
            name: share_of_gap(part[name], part[REFERENCE], part[ABLATED], seed=seed)
            for name in everything
            if name not in WITHOUT_SHARE
        }
        for part in (sums.ce, sums.kl)
    )
    kl = {name: bootstrap_ratio(values, sums.tokens, seed=seed) for name, values in sums.kl.items()}
    table = [
        ScorecardRow(s.row, s.ce, s.ce_delta, shares.get(s.row), kl[s.row], of_kl.get(s.row))
        for s in scorecard(sums.ce, sums.tokens, seed=seed)
    ]
    inside, outside = ([line for line in table if (line.row in rows) == wanted] for wanted in (True, False))
    return Scorecard(tuple(inside), tuple(outside), int(sums.tokens.sum()))


def pruning_frontier(
    branch: Branch,
    corpus: Corpus,
    variants: Mapping[str, Mapping[int, Connector]],
    first: SAEFolder,
    second: SAEFolder,
    held_out: FeaturePairs,
    *,
    batch_size: int = 16,
) -> list[FrontierRow]:
    """Edges per feature against CE delta and FVU, for each way of choosing edges.

    variants: `{"magnitude": {8: connector, ...}, "attribution": ..., "refit": ...}`.
    Returns a row per method and budget, FVU of the MLP's output on held-out tokens.
    """
    rows = {
        (method, budget): branch.hooks(connector_writes(connector, first, second))
        for method, connectors in variants.items()
        for budget, connector in connectors.items()
    }
    sums, counts = branch.row_losses(corpus, {"original": [], **rows}, batch_size)
    target = held_out.y
    spread = float((target - target.mean(0)).square().sum())
    features = held_out.inputs.rows(slice(0, len(target)))
    out = []
    for method, connectors in variants.items():
        for budget, connector in connectors.items():
            written = second.decode(connector.predictor()(features))
            delta = float((sums[method, budget] - sums["original"]).sum() / counts.sum())
            fvu = float((written - target).square().sum()) / spread
            out.append(FrontierRow(method, budget, connector.edges_per_output, delta, fvu))
    return out
