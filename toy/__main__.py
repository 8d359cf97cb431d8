"""`python -m toy <verb>`: the verbs of this wing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import toy
from eval import commands
from eval.commands import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "superposition",
        config="toy.configs.superposition:SuperpositionConfig",
        run="toy.superposition.experiment:command",
        help="dimensions per feature against sparsity and the bound R, geometry, phase diagram",
    ),
    Command(
        "incidental",
        config="toy.configs.incidental:IncidentalConfig",
        run="toy.incidental.experiment:command",
        help="polysemantic neurons by accident: counts, L1 decay, noise, initialisation",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    return commands.main("toy", toy.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
