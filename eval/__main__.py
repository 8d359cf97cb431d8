"""`python -m eval <verb>`: the verbs of the ground floor, which need no model."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from eval import commands
from eval.commands import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "claims",
        config="eval.claims_table:ClaimsTableConfig",
        run="eval.claims_table:command",
        help="one table of the claims of all runs at or below folders, over all wings and sources: text, CSV, page",
    ),
    Command(
        "findings render",
        config="eval.findings.page:FindingsConfig",
        run="eval.findings.page:command",
        help="write the findings pages from docs/findings/<topic>/*.json, and say which are stale",
    ),
    Command(
        "findings rerun",
        config="eval.findings.rerun:RerunConfig",
        run="eval.findings.rerun:command",
        help="run the commands of one finding as they are printed",
    ),
    Command(
        "runs list",
        config="eval.run_commands:RunsConfig",
        run="eval.run_commands:list_command",
        help="run folders below a folder: status, finished items, size, last sign of life",
    ),
    Command(
        "runs show",
        config="eval.run_commands:RunsConfig",
        run="eval.run_commands:show_command",
        help="one run: command, configuration, inputs, and which pieces are damaged or stale",
    ),
    Command(
        "runs clean",
        config="eval.run_commands:CleanConfig",
        run="eval.run_commands:clean_command",
        help="what can go: pieces set aside, half-written files, runs that left nothing",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    return commands.main("eval", __doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
