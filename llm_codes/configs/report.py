"""Configuration of `report`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import option
from llm_codes.configs.spectra import SpectraConfig

CHAPTERS = ("spectra", "trajectories", "polytopes", "circuits", "explain")


@dataclass(frozen=True, kw_only=True)
class ReportConfig(SpectraConfig):
    """The main job: read the code of a model on real text, every chapter on one page."""

    tokens: int = option(40_000, "tokens to read, spread over the documents")
    with_position_0: bool = option(True, "also report every spectrum with the left-out positions put back")
    chapters: tuple[str, ...] = option(CHAPTERS, "chapters to write; each is a command of its own")
