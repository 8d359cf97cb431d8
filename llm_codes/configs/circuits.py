"""Options and configuration of `circuit`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.connectors import ChainOptions
from llm_codes.configs.inputs import InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class CircuitOptions(Options):
    """What the page shows."""

    prompt: str = option("", "text for the per-prompt view (default: the strongest held-out context)")
    outputs: int = option(120, "output features on the page, best explained first", at_least=1)
    contexts: int = option(4, "contexts per feature", at_least=0)


@dataclass(frozen=True, kw_only=True)
class CircuitConfig(RunConfig):
    """One offline page: features of two consecutive dictionaries, their edges, contexts, a prompt's own circuit."""

    chain: ChainOptions = nested(ChainOptions())
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=30_000))
    circuit: CircuitOptions = nested(CircuitOptions())
