"""Explainers and simulators of one's own, by name: a function is enough.

    @register_explainer("longest")
    def longest(records): ...                 # a unit's strongest explain windows -> words

    @register_explainer("says")
    def says(records, does): ...              # with a second argument, also what the unit does (`outputs.effects.Does`)

    @register_simulator("contains")
    def contains(explanation, windows): ...   # words and windows of tokens -> a number 0..10 for every token

On the command line: `--explainer thisfile:longest`, or `thisfile.py:longest`.
"""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from eval.errors import UserError, nearest
from eval.explanation.explainers import Explanation
from eval.explanation.outputs.effects import Does
from eval.explanation.records import Book
from eval.explanation.rules.bits import rule_bits
from eval.explanation.rules.printing import read_rule
from eval.explanation.simulators import Simulation, Task

Explain = Callable[..., str]
Simulate = Callable[[str, list[list[str]]], Sequence[Sequence[float]]]
Function = TypeVar("Function", bound=Callable[..., Any])
EXPLAINERS: dict[str, Explain] = {}
SIMULATORS: dict[str, Simulate] = {}


def register_explainer(name: str) -> Callable[[Function], Function]:
    """Make a function an explainer of this name: records of a unit's strongest explain windows -> words.

    A function with a second parameter is given there what the unit does to the logits, directly and when it is raised.
    """
    return register_in(name, EXPLAINERS)


def register_simulator(name: str) -> Callable[[Function], Function]:
    """Make a function (words, windows of tokens -> 0..10 for every token) a simulator of this name."""
    return register_in(name, SIMULATORS)


def register_in(name: str, table: dict[str, Any]) -> Callable[[Function], Function]:
    """A decorator that puts a function into a table under a name. Raises `UserError` for a name with a colon."""
    if not name or ":" in name:
        raise UserError(f"expected a name without a colon, got {name!r}; choose another")

    def keep(function: Function) -> Function:
        table[name] = function
        return function

    return keep


def source_file(text: str) -> Path | None:
    """The file of `file.py:name` (or `file:name`), where there is one."""
    place, colon, _ = text.rpartition(":")
    paths = (Path(place), Path(f"{place}.py")) if colon and place else ()
    return next((path for path in paths if path.suffix == ".py" and path.is_file()), None)


def registered(text: str, table: dict[str, Any], flag: str) -> str | None:
    """The registered name that a text means (`name`, or `file.py:name`, whose file is run first); else ``None``.

    Raises `UserError` where the file registers no such name.
    """
    path = source_file(text)
    if path is None:
        return text if text in table else None
    name = text.rpartition(":")[2]
    runpy.run_path(str(path), run_name="__registering__")
    if name not in table:
        raise UserError(
            f"expected {path} to register {name!r}, got none: {nearest(name, table)}; decorate a function with "
            f"@register_{flag.removeprefix('--')}({name!r})"
        )
    return name


class FunctionExplainer:
    """A registered explainer. What it raises, or answers that is no text, leaves the unit without an explanation.

    Words that are a printed rule have the bits of that rule.
    """

    def __init__(self, name: str) -> None:
        self.name, self._function = name, EXPLAINERS[name]
        self._told_what_it_does = _positional(self._function) > 1

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]:
        return [self._explain(book, unit) for unit in units]

    def _explain(self, book: Book, unit: int) -> Explanation:
        problem = book.problem(unit)
        if problem:
            return Explanation("", reason=problem)
        does = (Does(book, unit),) if self._told_what_it_does else ()
        try:
            text = self._function(book.top(unit, "explain"), *does)
        except UserError as error:
            return Explanation("", reason=f"explainer {self.name}: {error}")
        except Exception as error:
            return Explanation("", reason=f"explainer {self.name} raised {type(error).__name__}: {error}")
        if not isinstance(text, str) or not text.strip():
            return Explanation("", reason=f"explainer {self.name}: expected a text, got {text!r}"[:200])
        return Explanation(text, bits=_bits(text, book.windows.vocabulary_size))


def _positional(function: Callable[..., Any]) -> int:
    """How many arguments a function takes by position, of those that must be given."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(one.kind in kinds and one.default is one.empty for one in parameters)


def _bits(text: str, vocabulary: int) -> float | None:
    try:
        return rule_bits(read_rule(text), vocabulary)
    except UserError:
        return None


class FunctionSimulator:
    """A registered simulator, called once for each explanation with all its windows.

    Raises `UserError` where it answers with another number of windows or tokens.
    """

    def __init__(self, name: str) -> None:
        self.name, self._function = name, SIMULATORS[name]

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]:
        groups: dict[str, list[int]] = {}
        for place, task in enumerate(tasks):
            groups.setdefault(task.explanation.text, []).append(place)
        found: dict[int, Simulation] = {}
        for text, places in groups.items():
            windows = [list(tasks[place].strings) for place in places]
            found |= dict(zip(places, self._predict(text, windows), strict=True))
        return [found[place] for place in range(len(tasks))]

    def _predict(self, text: str, windows: list[list[str]]) -> list[Simulation]:
        try:
            values = [np.asarray(row, dtype=float) for row in self._function(text, windows)]
        except Exception as error:
            reason = f"simulator {self.name} raised {type(error).__name__}: {error}"
            return [Simulation.failed(len(window), reason) for window in windows]
        shapes, wanted = [row.shape for row in values], [(len(window),) for window in windows]
        if shapes != wanted:
            raise UserError(
                f"expected simulator {self.name} to give one number for every token of every window "
                f"({len(wanted)} windows, {wanted[0][0]} tokens in the first), got {len(shapes)} windows"
                f"{f', {shapes[0]} in the first' if shapes else ''}; return one list of numbers for each window"
            )
        return [Simulation(row) for row in values]
