"""`vision_codes projections`: every setting, its default, its help. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class ProjectionsConfig(RunConfig):
    """Random projections of a moving stimulus at every ReLU: action, its minimum, what they explain of the stimulus."""

    model: str = option(help="folder written by `vision_codes train`")
    untrained: bool = option(False, "control: the same architecture with fresh weights")
    sites: tuple[str, ...] = option((), "ReLU sites, e.g. relu,layer1.0.relu1 (empty: all 17)")
    stimulus: str = option("dot", "what moves", choices=("dot", "grating"))
    frames: int = option(200, "frames of the trajectory")
    radius: float = option(0.3, "radius of the dot's circle, as a share of the side")
    dot_size: float = option(0.08, "radius of the dot, as a share of the side")
    cycles: float = option(4.0, "periods of the grating per picture")
    orientation: float = option(0.0, "direction of the grating's drift in radians")
    noise: float = option(0.0, "standard deviation of pixel noise, independent in every frame")
    projections: int = option(1000, "random projections per site")
    refinements: tuple[int, ...] = option((50, 100, 200, 400, 800), "frame counts for the growth of the action")
