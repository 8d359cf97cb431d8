"""`python -m vision_codes <verb>`: the verbs of this wing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vision_codes
from eval import commands
from eval.commands import Command

COMMANDS: tuple[Command, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    return commands.main("vision_codes", vision_codes.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
