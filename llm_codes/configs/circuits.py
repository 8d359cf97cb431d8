"""Configuration of `circuit`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import option
from llm_codes.configs.spectra import HarvestConfig


@dataclass(frozen=True, kw_only=True)
class CircuitConfig(HarvestConfig):
    """One offline page: features of two consecutive dictionaries, their edges, contexts, a prompt's own circuit."""

    connector: str = option("", "folder of the connector (default: the one that ships with the embedded model)")
    from_: str = option("", "folder of the dictionary before the MLP")
    to: str = option("", "folder of the dictionary at its output")
    prompt: str = option("", "text for the per-prompt view (default: the strongest held-out context)")
    tokens: int = option(30_000, "held-out tokens in which contexts are looked up")
    outputs: int = option(120, "output features on the page, best explained first")
    contexts: int = option(4, "contexts per feature")
