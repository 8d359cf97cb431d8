"""The claims on the one-way code, judged."""

from __future__ import annotations

from typing import Any

from eval.claims import Claim
from eval.experiment import separated
from toy.one_way.study import GIVEN, KINDS

MK = "Marshall & Kirchner 2023 (MK), supplement 2.2"


def judge(results: dict[str, Any]) -> list[Claim]:
    """Positive control, hiding by depth, the role of (p, g), the control task; and what cannot be told."""
    claims = [_fixed_claim(results["fixed"], results["seeds"])]
    for entry in results["varying"]:
        claims += [_fades_claim(entry, results), _ceiling_claim(entry, results), _with_group_claim(entry, results)]
    return [*claims, _hardness_claim(results)]


def _best(entry: dict[str, Any], layer: int, given: str, task: str = "x") -> tuple[float, float]:
    """The better of the linear and the MLP probe at the largest budget, with its standard error."""
    cells = [
        (cell["accuracy"][-1], cell["standard_error"][-1])
        for cell in entry["cells"]
        if cell["layer"] == layer and cell["given"] == given and cell["task"] == task and cell["kind"] in KINDS
    ]
    return max(cells)


def _name(entry: dict[str, Any]) -> str:
    return "p in {" + ", ".join(map(str, entry["primes"])) + "}"


def _error(entry: dict[str, Any], accuracy: float, between_seeds: float) -> float:
    """Seeds and the finite number of held-out triples (30% of all, at least)."""
    held = max(1.0, 0.3 * entry["triples"])
    return (between_seeds**2 + max(accuracy * (1 - accuracy), 0.25 / held) / held) ** 0.5


def _fixed_claim(fixed: list[dict[str, Any]], seeds: int) -> Claim:
    worst = min(row["probe"] for row in fixed)
    return Claim(
        claim="For one (p, g) a linear probe of the last layer reads x (positive control)",
        source=f"{MK}; bijection",
        prediction="accuracy 1 for every prime",
        measured=worst,
        tolerance=0.0,
        verdict="holds" if worst == 1 else "fails",
        seeds=1,
        n=len(fixed),
        note=f"smallest of {len(fixed)} primes; x -> y only renames the classes, nothing is hidden",
    )


def _fades_claim(entry: dict[str, Any], results: dict[str, Any]) -> Claim:
    first, last = _best(entry, 0, GIVEN[0]), _best(entry, results["layers"] - 1, GIVEN[0])
    error = _error(entry, last[0], (first[1] ** 2 + last[1] ** 2) ** 0.5)
    return Claim(
        claim=f"x is read from the first layer but less from the last, {_name(entry)}",
        source=MK,
        prediction=f"last-layer accuracy below the first layer's {first[0]:.2f}",
        measured=last[0],
        standard_error=error,
        tolerance=3 * error,
        verdict=separated(first[0] - last[0], error),
        seeds=results["seeds"],
        n=entry["triples"],
        note=f"network accuracy {entry['network']:.2f}, chance {entry['chance']:.2f}, layer alone, better probe",
    )


def _ceiling_claim(entry: dict[str, Any], results: dict[str, Any]) -> Claim:
    last = _best(entry, results["layers"] - 1, GIVEN[0])
    error = _error(entry, *last)
    return Claim(
        claim=f"The last layer alone says no more of x than y does, {_name(entry)}",
        source=f"{MK}; Bayes ceiling here",
        prediction=f"accuracy at most {entry['ceiling']:.2f}, the ceiling from y alone",
        measured=last[0],
        standard_error=error,
        tolerance=3 * error,
        verdict="holds" if last[0] <= entry["ceiling"] + 3 * error else "fails",
        seeds=results["seeds"],
        n=entry["triples"],
        note="above it, the logits carry traces of (p, g, x) besides their argmax",
    )


def _with_group_claim(entry: dict[str, Any], results: dict[str, Any]) -> Claim:
    """Would (p, g) unlock x? Then the last layer hides it only from whoever does not know (p, g)."""
    layer = results["layers"] - 1
    alone, together = _best(entry, layer, GIVEN[0]), _best(entry, layer, GIVEN[1])
    control = _best(entry, layer, GIVEN[1], "control")
    error = _error(entry, together[0], (alone[1] ** 2 + together[1] ** 2) ** 0.5)
    return Claim(
        claim=f"Given (p, g) as well, x can be read from the last layer, {_name(entry)}",
        source=f"{MK}; the ceiling with (p, g) is 1",
        prediction="held-out accuracy above .9",
        measured=together[0],
        standard_error=error,
        tolerance=3 * error,
        verdict=separated(together[0] - 0.9, error),
        seeds=results["seeds"],
        n=entry["triples"],
        note=f"{alone[0]:.2f} without (p, g); control task {control[0]:.2f}; the probe sees new (p, g, x) only",
    )


def _hardness_claim(results: dict[str, Any]) -> Claim:
    return Claim(
        claim="Networks hold information that no efficient probe can read (one-way functions)",
        source=MK,
        prediction="probe accuracy falls to chance as p grows, at every budget",
        measured=None,
        verdict="cannot tell",
        seeds=results["seeds"],
        note="primes this small are tabulated at once: they cannot show hardness, whatever the accuracies are",
    )
