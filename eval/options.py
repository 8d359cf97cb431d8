"""Options: one declaration per value, for the script and for the command line.

A function's options are a frozen dataclass that inherits `Options`; a command's configuration nests it:

    @dataclass(frozen=True, kw_only=True)
    class SpectraOptions(Options):
        fit_first: int = option(10, "first eigenvalue index of the fit, 1-based", at_least=1)

    @dataclass(frozen=True, kw_only=True)
    class SpectraConfig(RunConfig):
        inputs: InputsOptions = nested(InputsOptions(split="all"))
        spectra: SpectraOptions = nested(SpectraOptions())

Every field is a flag (`--fit-first`), whatever its nesting; every value is checked where the object is made, so a
script (`SpectraOptions(fit_first=0)`) hears the same line as a command, before torch is imported.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eval.errors import UserError, nearest
from eval.option_values import SEED_LIMIT, check_value, coerced, flag_of

Chosen = TypeVar("Chosen", bound="Options")


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",  # noqa: A002
    *,
    choices: Sequence[str] = (),
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    empty: bool = False,
    repeats: bool = False,
    kind: str = "",
    formerly: Sequence[str] = (),
    identity: bool = True,
    positional: bool = False,
) -> Any:
    """A field of an options class: its default, one line of help, its range.

    choices: the words allowed. at_least, above, at_most, below: the range of a number (of each item of a list);
        floats are finite always, whole numbers below 2^63. A number without a lower limit is at least 0, or its own
        default where that is less (-1 for "the usual one").
    empty, repeats: whether a list may be empty (always so where its default is) or hold a value twice.
    kind: what a word is, where more than its type is known: `device`, `layers` (an int or a list is made a word).
    formerly: older names of the flag; they work with a one-line notice.
    identity: whether the value decides the results. Fields with `identity=False` (threads, memory limits, output
        folder) may differ when a run is continued.
    positional: given by place (`compare RUN_A RUN_B`), not by flag; optional where it has a default.
    """
    if at_least is None and above is None:
        at_least = min([0, *_numbers(default)])
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "range": {"at_least": at_least, "above": above, "at_most": at_most, "below": below},
        "empty": empty or default == (),
        "repeats": repeats,
        "kind": kind,
        "formerly": tuple(formerly),
        "identity": identity,
        "positional": positional,
    }
    return dataclasses.field(default=default, metadata=metadata)


def _numbers(default: Any) -> list[float]:
    values = default if isinstance(default, tuple) else (default,)
    return [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]


def nested(default: Options, *, prefix: str = "") -> Any:
    """A field that holds a whole options class; its fields become flags of the command, after `prefix`."""
    return dataclasses.field(default=default, metadata={"nested": True, "prefix": prefix})


class Options:
    """Base of every options class: values are made what they are declared to be, then checked."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if field.metadata.get("nested") or not field.metadata:
                continue
            value = coerced(getattr(self, field.name), hints[field.name], field.metadata.get("kind", ""))
            object.__setattr__(self, field.name, value)
            check_value(flag_of(field.name), value, hints[field.name], field.metadata)
        self.validate()

    def validate(self) -> None:
        """What can be known of several options together; raises `UserError` before any work."""


def chosen(kind: type[Chosen], options: Chosen | None, changes: dict[str, Any]) -> Chosen:
    """The options of a call `f(..., options=None, **changes)`: the given ones, or the defaults, with the changes.

    Raises `UserError` for a name that is no option, with the nearest ones.
    """
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in changes:
        if name not in names:
            raise UserError(f"unknown option {name!r} of {kind.__name__}: {nearest(name, names)}")
    return dataclasses.replace(kind() if options is None else options, **changes)  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True)
class FolderConfig(Options):
    """What every command that writes a run folder takes."""

    out: str = option(help="run folder; the same command on the same folder continues", identity=False)
    threads: int = option(0, "CPU threads (0: all usable cores)", at_least=0, identity=False)
    overwrite: bool = option(False, "start again in a folder that holds a run", identity=False)
    reuse_stale: bool = option(
        False, "accept finished pieces that other code made, or from other inputs, as they are", identity=False
    )


@dataclass(frozen=True, kw_only=True)
class SeededConfig(FolderConfig):
    """A run that draws random numbers, on the CPU."""

    seed: int = option(0, "seed of every random draw", at_least=0, at_most=SEED_LIMIT)


@dataclass(frozen=True, kw_only=True)
class RunConfig(SeededConfig):
    """A run with a model on a device: a verb without one takes `SeededConfig`, one without chance `FolderConfig`."""

    device: str = option("cpu", "torch device: cpu, cuda, cuda:1, mps", kind="device")
