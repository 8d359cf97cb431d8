"""What `toy.one_way` measures, as typed results. Accuracies are shares in [0, 1].

Axis glossary: ``budget`` probe training steps.
"""

from __future__ import annotations

from eval.experiment import ExperimentResults, Measurement
from eval.results import Result, result
from eval.scores import Score


@result
class FixedGroup(Result):
    """One (p, g): accuracy of the network, and of a linear probe for x on noisy copies of its last layer's codes that
    the probe was not fitted on.

    probe: over the held-out copies; shuffled: the same where each copy had a label drawn at random, the control.
    """

    prime: int
    network: float
    probe: Score
    shuffled: Score


@result
class ProbeCell(Result):
    """Held-out accuracy for x (or for shuffled x, `control`) by budget, mean over networks.

    standard_error: between networks, by budget; `None` for a single network, whose spread is unknown. by_seed: accuracy
    of each network at the largest budget. task: `x`; `control`, x shuffled over triples; `untrained`, x in a network of
    the same start that was never trained.
    """

    layer: int
    given: str
    kind: str
    task: str
    accuracy: tuple[float, ...]
    standard_error: tuple[float | None, ...]
    by_seed: tuple[float, ...]


@result
class VaryingGroups(Result):
    """Networks on all (p, g, x) of a set of primes; ceiling: best accuracy for x from y alone; chance: most frequent x.

    triples: how many there are; held_out: how many of them probes are tested on.
    """

    primes: tuple[int, ...]
    triples: int
    held_out: int
    network: float
    ceiling: float
    chance: float
    cells: tuple[ProbeCell, ...]


@result
class OneWayResult(Measurement):
    """Where x can be read in networks that compute g^x mod p; layers counts the logits too."""

    table = "varying"
    columns = ("primes", "triples", "network", "ceiling", "chance")

    fixed: tuple[FixedGroup, ...]
    varying: tuple[VaryingGroups, ...]
    layers: int
    budgets: tuple[int, ...]
    seeds: int


OneWayResults = ExperimentResults[OneWayResult]
"""`results.json` of `python -m toy one-way`."""
