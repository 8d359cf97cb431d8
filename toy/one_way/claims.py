"""The claims on the one-way code, judged by the one rule of `eval.verdicts`.

Accuracies are on held-out triples; each comparison is taken within a network and averaged over networks. Controls: the
network as it started, probed alike, and the same probe asked for x shuffled over the triples. That networks can hide x
from every efficient probe is no row: primes this small are tabulated at once and cannot show hardness.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Claim
from eval.experiment import claim_over_seeds, mean_score
from eval.scores import Score
from eval.verdicts import above, below, corrected, judged_claim
from toy.one_way.results import FixedGroup, OneWayResult, VaryingGroups
from toy.one_way.study import GIVEN, KINDS

MK = "Marshall & Kirchner 2023 (MK), supplement 2.2"
FAMILY = "one-way code"
READ = 0.9
"""Held-out accuracy above which x counts as read."""


def judge(found: OneWayResult) -> list[Claim]:
    """Positive control, hiding by depth, the ceiling from y alone, the role of (p, g)."""
    claims = [_fixed_claim(found.fixed)]
    for entry in found.varying:
        claims += [_fades_claim(entry, found), _ceiling_claim(entry, found), _with_group_claim(entry, found)]
    return corrected(claims)


def _best(entry: VaryingGroups, layer: int, given: str, task: str = "x") -> list[float]:
    """The better of the linear and the MLP probe at the largest budget, network by network."""
    cells = [
        cell.by_seed
        for cell in entry.cells
        if cell.layer == layer and cell.given == given and cell.task == task and cell.kind in KINDS
    ]
    return [max(values) for values in zip(*cells, strict=True)]


def _less(first: Sequence[float], second: Sequence[float]) -> Score:
    return mean_score([a - b for a, b in zip(first, second, strict=True)])


def _name(entry: VaryingGroups) -> str:
    return "p in {" + ", ".join(map(str, entry.primes)) + "}"


def _fixed_claim(fixed: Sequence[FixedGroup]) -> Claim:
    worst = min(fixed, key=lambda row: row.probe.value or 0.0)
    return judged_claim(
        "For one (p, g) a linear probe of the last layer reads x (positive control)",
        f"{MK}; bijection",
        f"held-out accuracy above {READ} for every prime",
        worst.probe,
        above(READ),
        controls={"labels at random": worst.shuffled},
        kind="self-test",
        note=f"p={worst.prime}, the hardest of {len(fixed)} primes; noisy copies of the codes, fitted on half of them",
        units="accuracy, 0 to 1",
    )


def _fades_claim(entry: VaryingGroups, found: OneWayResult) -> Claim:
    last = found.layers - 1
    fades = {task: _less(_best(entry, 0, GIVEN[0], task), _best(entry, last, GIVEN[0], task)) for task in TASKS}
    return claim_over_seeds(
        f"x is read from the first layer but less from the last, {_name(entry)}",
        MK,
        "accuracy at the first layer less accuracy at the last above 0",
        fades["x"],
        above(0.0),
        controls={"untrained": fades["untrained"], "x shuffled": fades["control"]},
        family=FAMILY,
        note=f"network accuracy {entry.network:.2f}, chance {entry.chance:.2f}, layer alone, better probe",
        units="accuracy, 0 to 1",
    )


TASKS = ("x", "untrained", "control")


def _ceiling_claim(entry: VaryingGroups, found: OneWayResult) -> Claim:
    last = found.layers - 1
    return claim_over_seeds(
        f"The last layer alone says no more of x than y does, {_name(entry)}",
        f"{MK}; Bayes ceiling here",
        f"accuracy below {entry.ceiling:.2f}, the ceiling from y alone",
        mean_score(_best(entry, last, GIVEN[0])),
        below(entry.ceiling),
        controls={"untrained": mean_score(_best(entry, last, GIVEN[0], "untrained"))},
        kind="prediction of ours",
        family=FAMILY,
        note="above it, the logits carry traces of (p, g, x) besides their argmax",
        units="accuracy, 0 to 1",
    )


def _with_group_claim(entry: VaryingGroups, found: OneWayResult) -> Claim:
    """Would (p, g) unlock x? Then the last layer hides it only from whoever does not know (p, g)."""
    last = found.layers - 1
    alone, together = _best(entry, last, GIVEN[0]), _best(entry, last, GIVEN[1])
    score = mean_score(together)
    if (_less(together, alone).high or 0.0) < 0:
        reason = "more inputs lowered the probe's score, so it overfits and says nothing of what can be read"
        score = Score(score.value, n=score.n, interval_reason=reason)
    tasks = {"untrained": "untrained", "x shuffled": "control"}
    return claim_over_seeds(
        f"Given (p, g) as well, x can be read from the last layer, {_name(entry)}",
        f"{MK}; the ceiling with (p, g) is 1",
        f"held-out accuracy above {READ}",
        score,
        above(READ),
        controls={name: mean_score(_best(entry, last, GIVEN[1], task)) for name, task in tasks.items()},
        kind="prediction of ours",
        family=FAMILY,
        note=f"{sum(alone) / len(alone):.2f} without (p, g); the probe sees new (p, g, x) only",
        units="accuracy, 0 to 1",
    )
