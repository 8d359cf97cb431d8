"""`python -m vision_codes <verb>`: the verbs of this wing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vision_codes
from eval import commands
from eval.commands import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "polytopes",
        config="vision_codes.configs.polytopes:PolytopesConfig",
        run="vision_codes.lenses.polytopes.command:command",
        help="the linear pieces of a convolutional network: density, paths, local maps, clusters, exact slices",
        result="vision_codes.lenses.polytopes.results:ResultsFile",
    ),
    Command(
        "dropout-sweep",
        config="vision_codes.configs.dropout_sweep:DropoutSweepConfig",
        run="vision_codes.lenses.sweep.command:command",
        help="train networks that differ in dropout, analyse them, test the paper's statements",
        result="vision_codes.lenses.sweep.results:SweepResults",
    ),
    Command(
        "eigenfilters",
        config="vision_codes.configs.spectra:EigenfiltersConfig",
        run="vision_codes.lenses.spectra.command:eigenfilters_command",
        help="leading eigenvectors of every site, as maps and as filters on pixels",
        result="vision_codes.lenses.spectra.results:EigenfiltersFile",
    ),
    Command(
        "projections",
        config="vision_codes.configs.projections:ProjectionsConfig",
        run="vision_codes.lenses.projections.command:command",
        help="action of random projections of a moving stimulus at every ReLU",
        result="vision_codes.lenses.projections.results:ProjectionsFile",
    ),
    Command(
        "report",
        config="vision_codes.configs.dropout_sweep:ReportConfig",
        run="vision_codes.lenses.sweep.command:report_command",
        help="figures 3 to 6 with intervals and claims, from a sweep",
        result="vision_codes.lenses.sweep.results:ReportFile",
    ),
    Command(
        "spectra",
        config="vision_codes.configs.spectra:SpectraConfig",
        run="vision_codes.lenses.spectra.command:command",
        help="eigenspectra and alpha at every ReLU",
        result="vision_codes.lenses.spectra.results:SpectraFile",
    ),
    Command(
        "train",
        config="vision_codes.configs.train:TrainConfig",
        run="vision_codes.lenses.training.command:command",
        help="train a ResNet-VAE with dropout at every ReLU",
        result="vision_codes.lenses.training.results:TrainingFile",
        shares=True,
    ),
    Command(
        "unwrap",
        config="vision_codes.configs.unwrap:UnwrapConfig",
        run="vision_codes.lenses.unwrap.command:command",
        help="MNIST run on sparse features and connectors",
        result="vision_codes.lenses.unwrap.results:UnwrapResults",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    return commands.main("vision_codes", vision_codes.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
