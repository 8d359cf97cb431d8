"""`python -m llm_codes <verb>`: the verbs of the language-model wing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import llm_codes
from eval import commands
from eval.commands import Command

COMMANDS = (
    Command(
        "report",
        "llm_codes.configs.report:ReportConfig",
        "llm_codes.report:command",
        "every chapter on one model, one page",
    ),
    Command("sites", "llm_codes.configs.spectra:SitesConfig", "llm_codes.sites:command", "list the sites of a model"),
    Command(
        "spectra",
        "llm_codes.configs.spectra:SpectraConfig",
        "llm_codes.spectra:command",
        "eigenspectra and alpha by depth",
    ),
    Command(
        "trajectories",
        "llm_codes.configs.trajectories:TrajectoriesConfig",
        "llm_codes.trajectories:command",
        "random projections along a text, their action, the smoothest directions",
    ),
    Command(
        "compare",
        "llm_codes.configs.compare:CompareConfig",
        "llm_codes.compare:command",
        "two spectra runs side by side",
    ),
    Command(
        "train-embedded",
        "llm_codes.configs.embedded:TrainEmbeddedConfig",
        "llm_codes.embedded:command",
        "train the model that ships with the package",
    ),
    Command(
        "explain",
        "llm_codes.configs.explain:ExplainConfig",
        "llm_codes.explain:command",
        "explain units in words, simulate, score, with controls",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    return commands.main("llm_codes", llm_codes.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
