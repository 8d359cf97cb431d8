"""Configurations of `connector train`, `connector eval` and `connector show`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import option
from llm_codes.configs.spectra import HarvestConfig


@dataclass(frozen=True, kw_only=True)
class ConnectorTrainConfig(HarvestConfig):
    """Fit a sparse connector from the features before an MLP to the features at its output."""

    from_: str = option(help="folder of the dictionary before the MLP (mlp_in or resid_mid)")
    to: str = option(help="folder of the dictionary at its output (mlp_out)")
    split: str = option("train", "documents to read", choices=("held-out", "train", "all"))
    tokens: int = option(200_000, "tokens to fit on")
    init: str = option("random", "weights to start from", choices=("random", "analytic"))
    activation: str = option("relu", "of the connector", choices=("relu", "linear"))
    loss: str = option("decoded", "errors after decoding, or feature by feature", choices=("decoded", "features"))
    l1: float = option(0.005, "penalty on weights in units of the features' rms, before edges are chosen")
    edges: int = option(32, "largest number of edges per output feature")
    steps: int = option(400, "gradient steps before edges are chosen")
    refit_steps: int = option(600, "gradient steps on the chosen edges, without penalty")
    learning_rate: float = option(0.02, "Adam's learning rate at the start (cosine to 0)")
    half: bool = option(False, "write weights in float16")


@dataclass(frozen=True, kw_only=True)
class ConnectorEvalConfig(HarvestConfig):
    """The causal scorecard on held-out documents, pruning frontier, edge validation, logic forms."""

    connector: str = option(help="folder of the connector")
    from_: str = option(help="folder of the dictionary before the MLP")
    to: str = option(help="folder of the dictionary at its output")
    transcoder: str = option("", "folder of a transcoder of the same MLP (without it that row is left out)")
    tokens: int = option(30_000, "held-out tokens of the scorecard")
    fit_tokens: int = option(200_000, "training tokens for the rows that are fitted (linear, controls, refits)")
    frontier: tuple[int, ...] = option((1, 4, 16), "edges per output feature of the pruning frontier")
    edges_tested: int = option(150, "edges tested by intervention")
    logic_outputs: int = option(100, "output features whose logic forms are tested")


@dataclass(frozen=True, kw_only=True)
class ConnectorConfirmConfig(HarvestConfig):
    """Test the logic forms that `connector eval` named once more, on text it did not read."""

    found: str = option(help="run folder of `connector eval`")
    connector: str = option("", "folder of the connector (default: the one that ships with the embedded model)")
    from_: str = option("", "folder of the dictionary before the MLP")
    to: str = option("", "folder of the dictionary at its output")
    tokens: int = option(400_000, "tokens to read; of the corpus that `connector eval` read, what it read is left out")


@dataclass(frozen=True, kw_only=True)
class ConnectorShowConfig(HarvestConfig):
    """One output feature: its equation, the tokens its inputs fire on, its contexts."""

    feature: str = option(help="output feature, e.g. OF_30", positional=True)
    connector: str = option("", "folder of the connector (default: the one that ships with the embedded model)")
    from_: str = option("", "folder of the dictionary before the MLP")
    to: str = option("", "folder of the dictionary at its output")
    out: str = option("runs/connector-show", "run folder", identity=False)
    tokens: int = option(20_000, "held-out tokens in which contexts are looked up")
