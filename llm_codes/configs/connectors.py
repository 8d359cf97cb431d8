"""Options and configurations of `connector train`, `connector eval`, `connector confirm` and `connector show`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.measures.connectors.fit_options import ConnectorFit
from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class ChainOptions(Options):
    """A connector and its two dictionaries; all three empty: the chain that ships with the embedded model."""

    connector: str = option("", "folder of the connector (default: the one that ships with the embedded model)")
    from_: str = option("", "folder of the dictionary before the MLP")
    to: str = option("", "folder of the dictionary at its output")


@dataclass(frozen=True, kw_only=True)
class ConnectorOptions(Options):
    """What a connector starts from, where its errors are measured, and how it is fitted."""

    init: str = option("random", "weights to start from", choices=("random", "analytic"))
    loss: str = option("decoded", "errors after decoding, or feature by feature", choices=("decoded", "features"))
    fit: ConnectorFit = nested(ConnectorFit())


@dataclass(frozen=True, kw_only=True)
class ConnectorTrainConfig(RunConfig):
    """Fit a sparse connector from the features before an MLP to the features at its output."""

    from_: str = option(help="folder of the dictionary before the MLP (mlp_in or resid_mid)")
    to: str = option(help="folder of the dictionary at its output (mlp_out)")
    inputs: InputsOptions = nested(InputsOptions(split="train"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=200_000))
    connector: ConnectorOptions = nested(ConnectorOptions())
    half: bool = option(False, "write weights in float16")


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(Options):
    """What is measured of a chain, and how long the rows that are fitted for comparison are fitted."""

    fit_tokens: int = option(
        200_000, "training tokens for the rows that are fitted (linear, controls, refits)", at_least=1
    )
    frontier: tuple[int, ...] = option((1, 4, 16), "edges per output feature of the pruning frontier", at_least=1)
    frontier_steps: int = option(200, "gradient steps of the frontier's refits", at_least=0)
    edges_tested: int = option(150, "edges tested by intervention", at_least=1)
    logic_outputs: int = option(100, "output features whose logic forms are tested", at_least=1)


@dataclass(frozen=True, kw_only=True)
class ConnectorEvalConfig(RunConfig):
    """The causal scorecard on held-out documents, pruning frontier, edge validation, logic forms."""

    chain: ChainOptions = nested(ChainOptions())
    transcoder: str = option("", "folder of a transcoder of the same MLP (without it that row is left out)")
    untrained: tuple[str, ...] = option(
        (),
        "connector, dictionary before and dictionary after of the untrained model, in this order (default: the results "
        "that ship for the embedded one)",
    )
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=30_000))
    evaluation: EvaluationOptions = nested(EvaluationOptions())

    def validate(self) -> None:
        if len(self.untrained) not in (0, 3):
            raise UserError(
                "expected three folders in --untrained, connector, dictionary before and dictionary after; got "
                f"{len(self.untrained)}; name all three or none"
            )


@dataclass(frozen=True, kw_only=True)
class ConnectorConfirmConfig(RunConfig):
    """Test the logic forms that `connector eval` named once more, on text it did not read."""

    found: str = option(help="run folder of `connector eval`; of the corpus that it read, what it read is left out")
    chain: ChainOptions = nested(ChainOptions())
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=400_000))


@dataclass(frozen=True, kw_only=True)
class ConnectorShowConfig(RunConfig):
    """One output feature: its equation, the tokens its inputs fire on, its contexts."""

    feature: str = option(help="output feature, e.g. OF_30", positional=True)
    chain: ChainOptions = nested(ChainOptions())
    out: str = option("runs/connector-show", "run folder", identity=False)
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=20_000))
