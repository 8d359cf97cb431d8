"""What does each method foretell of changes in the real model? A feature is taken out, a target above is watched.

On a held-out window: an occurrence of a target that is on; for every method one of its edges along which something
arrives there, drawn with equal chance, and its source at the position from which most arrives. The sources of all
methods make one pool, so that each is judged on the others' edges too, where it may foretell 0. What is watched is the
target's pre-activation: with the MLPs between held (direct) and with nothing held (total).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llm_codes.configs.inputs import HarvestOptions
from llm_codes.configs.weights import WeightsOptions
from llm_codes.lenses.graphs.frozen import FrozenModel
from llm_codes.lenses.graphs.interventions import Change, Held, respond, writes
from llm_codes.lenses.graphs.nodes import FrozenPrompt, frozen_prompt
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.weights.fitted import Fitted
from llm_codes.lenses.weights.methods import METHODS
from llm_codes.lenses.weights.paths import RESIDUAL, Columns, Targets
from llm_codes.lenses.weights.rows import WeightTest
from llm_codes.models import Model

HELD = {"direct": Held(mlps=True), "total": Held()}
SIZE = -1.0  # activations of the source: it is taken out
CHANGES_A_WINDOW = 4  # in a forward pass, for each window that is asked for


@dataclass(frozen=True)
class _Window:
    """One window: dense features of the layers below the last, and patterns."""

    frozen: FrozenModel
    below: Float[Tensor, "position column"]
    places: Int[Tensor, "feature 3"]

    def arriving(self, columns: Columns, column: int, position: int) -> Float[Tensor, " position"]:
        """What arrives at a position along a column's path, by the position it comes from."""
        path = columns.paths[column // columns.width]
        own = self.below[:, column % columns.width]
        if path.head == RESIDUAL:
            out = torch.zeros_like(own)
            out[position] = own[position]
            return out
        return self.frozen.layers[path.layer].pattern[path.head, position] * own


@torch.no_grad()
def tests_of_window(
    model: Model,
    tokens: Tensor,
    transcoders: Sequence[LayerTranscoder],
    fitted: Fitted,
    options: WeightsOptions,
    walk: HarvestOptions,
    document: int,
    generator: np.random.Generator,
) -> tuple[WeightTest, ...]:
    """Tests of `options.per_window` occurrences of targets; fewer where fewer are on."""
    prompt = frozen_prompt(model, tokens, transcoders, walk.exclude_positions)
    window = _window(prompt, fitted.columns, len(tokens))
    drawn = [
        (target, position, source)
        for target, position in _occurrences(window, fitted.targets, options.per_window, generator)
        for source in _sources(window, fitted, target, position, generator)
    ]
    if not drawn:
        return ()
    changes = [_change(fitted.columns, window, *source) for _, _, source in drawn]
    added = writes(changes, transcoders, len(tokens))
    batch = walk.batch_size * CHANGES_A_WINDOW
    responses = {name: respond(model, prompt.frozen, added, held, batch) for name, held in HELD.items()}
    out = []
    for number, (change, (target, position, (column, start))) in enumerate(zip(changes, drawn, strict=True)):
        layer, feature = int(fitted.targets.layer[target]), int(fitted.targets.feature[target])
        reads = transcoders[layer].encoder[:, feature]
        measured = {name: float(r.mlp_in[layer, number, position] @ reads) for name, r in responses.items()}
        foretold = _foretold(window, fitted, target, position, column, start)
        predicted = {name: SIZE * value for name, value in foretold.items()}
        here = (change.layer, start, change.feature)
        out.append(WeightTest(document, here, (layer, position, feature), SIZE, predicted, **measured))
    return tuple(out)


def _window(prompt: FrozenPrompt, columns: Columns, n_positions: int) -> _Window:
    places, ends = prompt.active.places, torch.tensor(columns.ends)
    low = places[:, 0] < len(columns.ends) - 1
    below = torch.zeros(n_positions, columns.width)
    place = places[low]
    below[place[:, 1], ends[place[:, 0]] + place[:, 2]] = prompt.active.values[low].to(below)
    return _Window(prompt.frozen, below, places)


def _change(columns: Columns, window: _Window, column: int, position: int) -> Change:
    """The source at a column and position, taken out."""
    _, layer, feature = columns.split(torch.tensor([column]))
    return Change(int(layer), position, int(feature), float(window.below[position, column]), SIZE)


def _occurrences(
    window: _Window, targets: Targets, count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Targets that are on in the window, and where, drawn blindly."""
    known = {(a, b): n for n, (a, b) in enumerate(zip(targets.layer.tolist(), targets.feature.tolist(), strict=True))}
    found = [
        (known[layer, feature], position)
        for layer, position, feature in window.places.tolist()
        if (layer, feature) in known
    ]
    return [found[n] for n in generator.permutation(len(found))[:count]]


def _sources(
    window: _Window, fitted: Fitted, target: int, position: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """One source of each method: column below, and the position from which most arrives; each source once."""
    out: dict[tuple[int, int], None] = {}
    for name in METHODS:
        columns, weights = fitted.edge_columns[name], fitted.own[name].weights
        places = []
        for column in columns[target][weights[target] != 0].tolist():
            arriving = window.arriving(fitted.columns, column, position).abs()
            if float(arriving.max()) > 0:
                places.append((column % fitted.columns.width, int(arriving.argmax())))
        if places:
            out[places[int(generator.integers(len(places)))]] = None
    return list(out)


def _foretold(window: _Window, fitted: Fitted, target: int, position: int, column: int, start: int) -> dict[str, float]:
    """By each method, the target's change for one times the source's activation, along all its edges from there."""
    out = {}
    for name in METHODS:
        columns, weights = fitted.edge_columns[name], fitted.own[name].weights
        own = (columns[target] % fitted.columns.width == column) & (weights[target] != 0)
        out[name] = sum(
            float(weight) * float(window.arriving(fitted.columns, int(edge), position)[start])
            for edge, weight in zip(columns[target][own], weights[target][own], strict=True)
        )
    return out
