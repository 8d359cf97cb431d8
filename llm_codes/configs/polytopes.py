"""What `python -m llm_codes polytopes`, and `polytopes` in a script, can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from eval.options import Options, RunConfig, nested, option
from eval.presets import Preset
from llm_codes.configs.inputs import InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class PolytopesOptions(Options):
    """Which MLPs are coded, how codes are clustered, and what they are compared with."""

    layers: str = option("4:6", "MLPs in the code: 4:6 is layers 4 and 5, 4: is layer 4 to the output", kind="layers")
    min_cluster_size: int = option(
        0, "least tokens of a cluster (0: 1 in 200 of the sampled tokens, at least 5)", at_least=0
    )
    cluster_method: str = option(
        "leaf", "HDBSCAN selection: leaf (finest clusters) or eom (excess of mass)", choices=("leaf", "eom")
    )
    directions: int = option(64, "NMF and PCA components of the MLP's hidden activations", at_least=1)
    negative: str = option("clip", "what NMF does with negative activations", choices=("clip", "shift", "split"))
    features: int = option(128, "elements of the NMF dictionaries on codes and on activations", at_least=1)
    dictionary_steps: int = option(
        400,
        "training steps (256 tokens each) of the overcomplete TopK dictionaries on codes and on activations (0: none)",
        at_least=0,
    )
    dictionary_tokens: int = option(30_000, "tokens kept for them, both halves together", at_least=1)
    density_layers: int = option(8, "layers in the comparison of densities, evenly spaced", at_least=1)
    rays: int = option(16, "activations scaled by 0..3 along their ray from the origin (0: none)", at_least=0)
    interventions: int = option(
        4, "clusters whose code is set by hand at other tokens, the largest first (0: none)", at_least=0
    )
    control: bool = option(True, "measure the same architecture untrained (without it no statement can hold)")


@dataclass(frozen=True, kw_only=True)
class PolytopesConfig(RunConfig):
    """Spline codes of the MLPs: clusters with their texts, directions, density, local maps, a code dictionary."""

    papers: ClassVar[Mapping[str, Preset]] = {
        "pl": Preset(
            {"model": "gpt2", "directions": "64"},
            "GPT-2 small and 64 NMF components; layers, tokens and clusters stay those of the other options",
        )
    }

    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions())
    polytopes: PolytopesOptions = nested(PolytopesOptions())
