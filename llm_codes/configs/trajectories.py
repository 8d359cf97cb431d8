"""Configuration of `trajectories`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import LAYERS_HELP, SITES_HELP, InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class TrajectoriesOptions(Options):
    """Where the trajectories are read, and how many projections are drawn."""

    sites: tuple[str, ...] = option(("resid_post",), SITES_HELP)
    layers: str = option(":", LAYERS_HELP, kind="layers")
    projections: int = option(1000, "random projections per site", at_least=1)


@dataclass(frozen=True, kw_only=True)
class DrawnOptions(Options):
    """The one trajectory that is drawn."""

    text: str = option("", "draw the trajectory of this text (default: the longest of the first windows)")
    drawn_tokens: int = option(48, "tokens of the trajectory that is drawn", at_least=3)


@dataclass(frozen=True, kw_only=True)
class TrajectoriesConfig(RunConfig):
    """Random projections of the code along a text: action in closed form and sampled, the smoothest directions."""

    inputs: InputsOptions = nested(InputsOptions())
    windows: WindowsOptions = nested(WindowsOptions(tokens=20_000))
    trajectories: TrajectoriesOptions = nested(TrajectoriesOptions())
    drawn: DrawnOptions = nested(DrawnOptions())
    control: bool = option(True, "also measure the same architecture untrained (without it no statement can hold)")
