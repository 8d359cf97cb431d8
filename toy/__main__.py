"""`python -m toy <verb>`: the verbs of this wing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import toy
from eval import commands
from eval.commands import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "claims",
        config="toy.configs.claims:ClaimsConfig",
        run="toy.claims:command",
        result="toy.claims:ClaimsResult",
        help="every claim of the sources: prediction, measurement, verdict",
    ),
    Command(
        "superposition",
        config="toy.configs.superposition:SuperpositionConfig",
        run="toy.superposition.command:command",
        result="toy.superposition.results:SuperpositionResults",
        help="dimensions per feature against sparsity and the bound R, geometry, phase diagram",
    ),
    Command(
        "incidental",
        config="toy.configs.incidental:IncidentalConfig",
        run="toy.incidental.command:command",
        result="toy.incidental.results:IncidentalResults",
        help="polysemantic neurons by accident: counts, L1 decay, noise, initialisation",
    ),
    Command(
        "dropout-channel",
        config="toy.configs.dropout_channel:DropoutChannelConfig",
        run="toy.dropout_channel.command:command",
        result="toy.dropout_channel.results:DropoutChannelResults",
        help="information through a very deep network under dropout; estimator self-tests",
    ),
    Command(
        "one-way",
        config="toy.configs.one_way:OneWayConfig",
        run="toy.one_way.command:command",
        result="toy.one_way.results:OneWayResults",
        help="probes for the exponent in networks that compute g^x mod p",
    ),
    Command(
        "capacity",
        config="toy.configs.capacity:CapacityConfig",
        run="toy.capacity.command:command",
        result="toy.capacity.results:CapacityResults",
        help="dropout capacity against Blahut-Arimoto, cascades with and without re-encoding",
    ),
    Command(
        "spectra",
        config="toy.configs.spectra:SpectraConfig",
        run="toy.spectra.command:command",
        result="toy.spectra.results:ToySpectraResults",
        help="eigenspectra, action and spline codes of superposition models",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    return commands.main("toy", (toy.__doc__ or "").partition("\n")[0], COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
