"""Options of activation and path patching, and the configuration of `circuit patch`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import InputsOptions, WindowsOptions

PATHS = ("branches", "heads", "none")


@dataclass(frozen=True, kw_only=True)
class PatchingOptions(Options):
    """Which pairs, and what of them is patched."""

    per_kind: int = option(10, "prompts of each kind, from as many documents as have them", at_least=1)
    probability: float = option(0.3, "the model gives the right token at least this", above=0, below=1)
    least_drop: float = option(1.0, "leave out pairs whose logit difference the corruption lowers by less", above=0)
    paths: str = option(
        "branches", "senders and receivers of paths: attention and MLPs, or single heads", choices=PATHS
    )
    features: int = option(8, "features of a pair patched, those with the largest estimate (0: none)", at_least=0)


@dataclass(frozen=True, kw_only=True)
class CircuitPatchConfig(RunConfig):
    """Where does the answer sit, and how does it travel? Activations of clean prompts put into corrupted ones, and
    single paths corrupted in clean ones."""

    pairs: str = option("", "JSONL of pairs: clean, corrupted, target, foil (default: made from held-out text)")
    transcoders: str = option("", "folder with a transcoder for each layer (default: those of the embedded model)")
    control: bool = option(True, "also patch the same architecture untrained")
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=60_000, context=24))
    patching: PatchingOptions = nested(PatchingOptions())
