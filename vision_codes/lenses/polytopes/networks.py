"""The networks of a polytope study, traced: the trained one and its living controls, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from eval.measures.geometry.piecewise_linear import Program
from eval.measures.geometry.tracing import trace
from eval.pieces import Pieces
from eval.progress import say
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.lenses.polytopes.controls import CONTROLS, cannot_start_again, control, why_dead
from vision_codes.lenses.polytopes.density import layer_activations
from vision_codes.lenses.polytopes.results import NetworkFacts
from vision_codes.models import VisionModel

TRAINED = "trained"
FRESH = ("init", *(f"init, seed {number}" for number in range(1, 5)))
"""Networks without training under several seeds: what one network shows is told from what such networks show."""


class Networks:
    """Programs and activations by the name of the network.

    names: the trained network first, then the controls that are used. dead: controls that are not, each with its
    reason; which they are is a piece of the run, so that a continued run makes the controls it still needs only.
    """

    def __init__(self, model: VisionModel, x: Tensor, options: PolytopesConfig, pieces: Pieces) -> None:
        self.model, self.x, self.options = model, x, options
        self.programs: dict[str, Program] = {TRAINED: trace(model.module, x[0], model.name)}
        self.activations: dict[str, dict[str, Tensor]] = {}
        self.kinds = CONTROLS if options.controls else ()
        self.dead: Mapping[str, str] = pieces.item("controls", Mapping[str, str], self._dead)  # pyright: ignore
        for kind, dead in self.dead.items():
            say(f"control {kind!r} is {dead}")
        self.names: tuple[str, ...] = (TRAINED, *(kind for kind in self.kinds if kind not in self.dead))

    def __getitem__(self, name: str) -> Program:
        if name not in self.programs:
            kind, _, seed = name.partition(", seed ")
            drawn = self.options.seed + int(seed or 0)
            module = control(self.model.module, kind, self.x, drawn, self.model.build)
            self.programs[name] = trace(module, self.x[0], f"{self.model.name}, {name}")
        return self.programs[name]

    @property
    def fresh(self) -> tuple[str, ...]:
        """Names of the networks without training, one for each seed; none without controls."""
        return FRESH if "init" in self.names else ()

    def _dead(self) -> Mapping[str, str]:
        size = self.options.inputs.batch_size
        none = cannot_start_again(self.model.module, self.model.build)
        reasons = {
            kind: none if none and kind.startswith("init") else why_dead(self[kind], self.x, size)
            for kind in self.kinds
        }
        return {kind: dead for kind, dead in reasons.items() if dead is not None}

    def at(self, layer: str, layers: tuple[str, ...], name: str = TRAINED) -> Tensor:
        """What enters the rest of a network at `layer`, ``[image ...]``; those of all `layers` are computed at once."""
        known = self.activations.setdefault(name, {})
        if layer not in known:
            known |= layer_activations(self[name], self.x, layers, self.options.inputs.batch_size)
        return known[layer]

    def describe(self, layers: tuple[str, ...], path_layers: tuple[str, ...]) -> NetworkFacts:
        """What was measured."""
        program = self[TRAINED]
        return NetworkFacts(
            layers=layers,
            path_layers=path_layers,
            n_images=len(self.x),
            image_size=self.model.image_size,
            n_sites=len(program.sites),
            n_units=program.n_units,
            dead_controls=self.dead,
            piecewise_linear=not any(step.kind == "smooth" for step in program.sites),
        )
