"""Configuration of `trajectories`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import option
from llm_codes.configs.spectra import HarvestConfig


@dataclass(frozen=True, kw_only=True)
class TrajectoriesConfig(HarvestConfig):
    """Random projections of the code along a text: action in closed form and sampled, the smoothest directions."""

    tokens: int = option(20_000, "tokens to read, spread over the documents")
    split: str = option("all", "documents to read (nothing is fitted to them)", choices=("held-out", "train", "all"))
    sites: tuple[str, ...] = option(("resid_post",), "short names, or hook names; see `sites`")
    layers: str = option(":", "layers, e.g. 4:6, 0,3,5 or : for all")
    projections: int = option(1000, "random projections per site")
    text: str = option("", "draw the trajectory of this text (default: the longest of the first windows)")
    drawn_tokens: int = option(48, "tokens of the trajectory that is drawn")
