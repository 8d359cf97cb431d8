"""Options of faithfulness curves, and the configuration of `circuit curve`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class FaithfulnessOptions(Options):
    """Which prompts, and how they are ablated."""

    per_kind: int = option(20, "prompts of each kind, from as many documents as have them", at_least=1)
    probability: float = option(0.3, "the model gives the right token at least this", above=0, below=1)
    steps: int = option(4, "steps of the integrated gradients", at_least=1)
    graph_features: int = option(800, "active features ranked by the graph, the strongest ones", at_least=1)


@dataclass(frozen=True, kw_only=True)
class CircuitCurveConfig(RunConfig):
    """How few nodes do what the model does? The rest is ablated, for features and neurons, by several rankings."""

    transcoders: str = option("", "folder with a transcoder for each layer (default: those of the embedded model)")
    untrained: str = option("", "the same of the untrained model (default: the results that ship for the embedded one)")
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=60_000, context=24))
    curve: FaithfulnessOptions = nested(FaithfulnessOptions())
