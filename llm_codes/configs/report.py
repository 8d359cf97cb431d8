"""Configuration of `report`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, nested, option
from llm_codes.configs.inputs import InputsOptions, WindowsOptions
from llm_codes.configs.spectra import SpectraOptions
from llm_codes.configs.trajectories import DrawnOptions, TrajectoriesOptions

CHAPTERS = ("spectra", "trajectories", "polytopes", "circuits", "explain")


@dataclass(frozen=True, kw_only=True)
class ReportConfig(RunConfig):
    """The main job: read the code of a model on real text, every chapter on one page."""

    chapters: tuple[str, ...] = option(CHAPTERS, "chapters to write; each is a command of its own")
    inputs: InputsOptions = nested(InputsOptions())
    windows: WindowsOptions = nested(WindowsOptions(tokens=40_000))
    spectra: SpectraOptions = nested(SpectraOptions(with_position_0=True))
    control: bool = option(True, "also measure the spectra and trajectories of the same architecture untrained")
    trajectories: TrajectoriesOptions = nested(TrajectoriesOptions(), prefix="trajectories_")
    trajectories_tokens: int = option(20_000, "tokens of the trajectories, the first of those read", at_least=1)
    drawn: DrawnOptions = nested(DrawnOptions(), prefix="trajectories_")
