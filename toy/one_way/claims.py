"""The claims on the one-way code, judged."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Claim
from eval.experiment import combined, separated, times
from toy.one_way.results import FixedGroup, OneWayResult, VaryingGroups
from toy.one_way.study import GIVEN, KINDS

MK = "Marshall & Kirchner 2023 (MK), supplement 2.2"


def judge(found: OneWayResult) -> list[Claim]:
    """Positive control, hiding by depth, the role of (p, g), the control task; and what cannot be told."""
    claims = [_fixed_claim(found.fixed, found.seeds)]
    for entry in found.varying:
        claims += [_fades_claim(entry, found), _ceiling_claim(entry, found), _with_group_claim(entry, found)]
    return [*claims, _hardness_claim(found)]


Accuracy = tuple[float, float | None]
"""With the standard error between networks, `None` for a single one."""


def _best(entry: VaryingGroups, layer: int, given: str, task: str = "x") -> Accuracy:
    """The better of the linear and the MLP probe at the largest budget."""
    cells = [
        (cell.accuracy[-1], cell.standard_error[-1])
        for cell in entry.cells
        if cell.layer == layer and cell.given == given and cell.task == task and cell.kind in KINDS
    ]
    return max(cells, key=lambda found: (found[0], found[1] or 0.0))


def _name(entry: VaryingGroups) -> str:
    return "p in {" + ", ".join(map(str, entry.primes)) + "}"


def _error(entry: VaryingGroups, accuracy: float, between_seeds: float | None) -> float | None:
    """Seeds and the finite number of held-out triples; undefined where there is one seed."""
    held = max(1, entry.held_out)
    return combined(between_seeds, (max(accuracy * (1 - accuracy), 0.25 / held) / held) ** 0.5)


def _fixed_claim(fixed: Sequence[FixedGroup], seeds: int) -> Claim:
    worst = min(row.probe for row in fixed)
    return Claim(
        claim="For one (p, g) a linear probe of the last layer reads x (positive control)",
        source=f"{MK}; bijection",
        prediction="accuracy 1 for every prime",
        measured=worst,
        tolerance=0.0,
        kind="self-test",
        verdict="holds" if worst == 1 else "fails",
        seeds=1,
        n=len(fixed),
        note=f"smallest of {len(fixed)} primes; x -> y only renames the classes, nothing is hidden",
    )


def _fades_claim(entry: VaryingGroups, found: OneWayResult) -> Claim:
    first, last = _best(entry, 0, GIVEN[0]), _best(entry, found.layers - 1, GIVEN[0])
    error = _error(entry, last[0], combined(first[1], last[1]))
    return Claim(
        claim=f"x is read from the first layer but less from the last, {_name(entry)}",
        source=MK,
        prediction=f"last-layer accuracy below the first layer's {first[0]:.2f}",
        measured=last[0],
        standard_error=error,
        tolerance=times(3, error),
        verdict=separated(first[0] - last[0], error),
        seeds=found.seeds,
        n=entry.triples,
        note=f"network accuracy {entry.network:.2f}, chance {entry.chance:.2f}, layer alone, better probe",
    )


def _ceiling_claim(entry: VaryingGroups, found: OneWayResult) -> Claim:
    last = _best(entry, found.layers - 1, GIVEN[0])
    error = _error(entry, *last)
    return Claim(
        claim=f"The last layer alone says no more of x than y does, {_name(entry)}",
        source=f"{MK}; Bayes ceiling here",
        prediction=f"accuracy at most {entry.ceiling:.2f}, the ceiling from y alone",
        measured=last[0],
        standard_error=error,
        tolerance=times(3, error),
        kind="prediction of ours",
        verdict="cannot tell" if error is None else "holds" if last[0] <= entry.ceiling + 3 * error else "fails",
        seeds=found.seeds,
        n=entry.triples,
        note="above it, the logits carry traces of (p, g, x) besides their argmax",
    )


def _with_group_claim(entry: VaryingGroups, found: OneWayResult) -> Claim:
    """Would (p, g) unlock x? Then the last layer hides it only from whoever does not know (p, g)."""
    layer = found.layers - 1
    alone, together = _best(entry, layer, GIVEN[0]), _best(entry, layer, GIVEN[1])
    control = _best(entry, layer, GIVEN[1], "control")
    error = _error(entry, together[0], combined(alone[1], together[1]))
    return Claim(
        claim=f"Given (p, g) as well, x can be read from the last layer, {_name(entry)}",
        source=f"{MK}; the ceiling with (p, g) is 1",
        prediction="held-out accuracy above .9",
        measured=together[0],
        standard_error=error,
        tolerance=times(3, error),
        kind="prediction of ours",
        verdict=separated(together[0] - 0.9, error),
        seeds=found.seeds,
        n=entry.triples,
        note=f"{alone[0]:.2f} without (p, g); control task {control[0]:.2f}; the probe sees new (p, g, x) only",
    )


def _hardness_claim(found: OneWayResult) -> Claim:
    return Claim(
        claim="Networks hold information that no efficient probe can read (one-way functions)",
        source=MK,
        prediction="probe accuracy falls to chance as p grows, at every budget",
        measured=None,
        verdict="cannot tell",
        seeds=found.seeds,
        note="primes this small are tabulated at once: they cannot show hardness, whatever the accuracies are",
    )
