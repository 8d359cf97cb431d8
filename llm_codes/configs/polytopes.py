"""Configuration of `polytopes`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import option
from llm_codes.configs.spectra import HarvestConfig


@dataclass(frozen=True, kw_only=True)
class PolytopesConfig(HarvestConfig):
    """Spline codes of the MLPs: clusters with their texts, directions, density, local maps, a code dictionary."""

    layers: str = option("4:6", "MLPs in the code: 4:6 is layers 4 and 5, 4: is layer 4 to the output")
    min_cluster_size: int = option(0, "least tokens of a cluster (0: 1 in 200 of the sampled tokens, at least 5)")
    cluster_method: str = option(
        "leaf", "HDBSCAN selection: leaf (finest clusters) or eom (excess of mass)", choices=("leaf", "eom")
    )
    exact_up_to: int = option(100_000, "above this many sampled tokens neighbours are approximate, and labelled so")
    directions: int = option(64, "NMF and PCA components of the MLP's hidden activations")
    negative: str = option("clip", "what NMF does with negative activations", choices=("clip", "shift", "split"))
    features: int = option(128, "elements of the NMF dictionaries on codes and on activations")
    dictionary_steps: int = option(
        400,
        "training steps (256 tokens each) of the overcomplete TopK dictionaries on codes and on activations (0: none)",
    )
    dictionary_tokens: int = option(30_000, "tokens kept for them, both halves together")
    density_layers: int = option(8, "layers in the comparison of densities, evenly spaced")
    rays: int = option(16, "activations scaled by 0..3 along their ray from the origin (0: none)")
