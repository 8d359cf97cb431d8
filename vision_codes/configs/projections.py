"""`vision_codes projections`: every setting, its default, its range, its help. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eval.errors import UserError
from eval.options import Options, nested, option
from vision_codes.configs.images import SITES_HELP, NetworkConfig

STIMULI = ("dot", "grating")


@dataclass(frozen=True, kw_only=True)
class StimulusOptions(Options):
    """What moves: a dot on a circle, or a drifting grating."""

    stimulus: str = option("dot", "what moves", choices=STIMULI)
    frames: int = option(200, "frames of the trajectory", at_least=3)
    radius: float = option(0.3, "radius of the dot's circle, as a share of the side", at_least=0, at_most=0.5)
    dot_size: float = option(0.08, "radius of the dot, as a share of the side", above=0, at_most=0.5)
    cycles: float = option(4.0, "periods of the grating per picture", above=0)
    orientation: float = option(0.0, "direction of the grating's drift in radians")
    noise: float = option(0.0, "standard deviation of pixel noise, independent in every frame", at_least=0)

    def validate(self) -> None:
        if self.stimulus == "dot" and self.radius + self.dot_size > 0.5:
            raise UserError(
                f"expected --radius and --dot-size of at most 0.5 together; got {self.radius:g} and "
                f"{self.dot_size:g}; the dot would leave the picture"
            )

    def settings(self) -> dict[str, Any]:
        """What the stimulus is made with, as `vision_codes.stimuli` takes it."""
        names = ("radius", "dot_size") if self.stimulus == "dot" else ("cycles", "orientation")
        return {"noise": self.noise, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, kw_only=True)
class ProjectionsOptions(Options):
    """How the trajectory is projected."""

    sites: tuple[str, ...] = option((), SITES_HELP)
    projections: int = option(1000, "random projections per site", at_least=2)
    refinements: tuple[int, ...] = option(
        (50, 100, 200, 400, 800), "frame counts for the growth of the action (empty: none)", at_least=3, empty=True
    )

    def validate(self) -> None:
        finest = max(self.refinements, default=0)
        if any(finest % count for count in self.refinements):
            raise UserError(
                f"expected frame counts that divide the largest; got {self.refinements}; try --refinements 50,100,200"
            )
        if len(self.refinements) == 1:
            raise UserError(
                f"expected at least 2 frame counts in --refinements, or none; got {self.refinements[0]}; add another"
            )


@dataclass(frozen=True, kw_only=True)
class ProjectionsConfig(NetworkConfig):
    """Random projections of a moving stimulus at every ReLU: action, its minimum, what they explain of the stimulus."""

    stimulus: StimulusOptions = nested(StimulusOptions())
    projections: ProjectionsOptions = nested(ProjectionsOptions())
