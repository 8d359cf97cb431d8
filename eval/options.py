"""A field of a configuration: its default, one line of help, its kind and range; and what every run folder takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",  # noqa: A002
    *,
    choices: Sequence[str] = (),
    identity: bool = True,
    positional: bool = False,
) -> Any:
    """A field of a configuration: its default, one line of help, its choices.

    identity: whether the value decides the results. Fields with `identity=False` (threads, memory limits, output
    folder) may differ when a run is continued.
    positional: given by place (`compare RUN_A RUN_B`), not by flag; optional where it has a default.
    """
    metadata = {"help": help, "choices": tuple(choices), "identity": identity, "positional": positional}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every command that writes a run folder takes."""

    out: str = option(help="run folder; the same command on the same folder continues", identity=False)
    seed: int = option(0, "seed of every random draw")
    device: str = option("cpu", "torch device: cpu, cuda, cuda:1, mps")
    threads: int = option(0, "CPU threads (0: all usable cores)", identity=False)
    overwrite: bool = option(False, "start again in a folder that holds a run", identity=False)
