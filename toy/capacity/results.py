"""What `toy.capacity` measures, as typed results. All capacities are in bits.

Axis glossary: ``layer`` depth N = 0, 1, ..., ``width`` symbols per layer m.
"""

from __future__ import annotations

from eval.experiment import ExperimentResults, Measurement
from eval.result_json import noted
from eval.results import Result, result


@result
class CompressionRate(Result):
    """R = 1 - S + h(S)/H, dimensions per feature that a code of sparse features needs [MK eq. 1]; in [0, 1 + 1/H]."""

    entropy: float = noted(key="H")
    sparsity: float = noted(key="S")
    rate: float = noted(key="R")


@result
class NeuronCapacity(Result):
    """One neuron of C bits under dropout D: closed form, Blahut-Arimoto's oracle, the bounds of Theorem 3.

    error_channel: capacity of a neuron that errs with probability D instead of falling silent, the control.
    """

    bits: int
    dropout: float
    exact: float
    blahut_arimoto: float
    difference: float
    low: float
    high: float
    error_channel: float


@result
class DepthCurve(Result):
    """Bits of one neuron by layer: as printed without and with correction, and exact without (Fig. 2b, c).

    error_channel: the same depth of errors with probability D instead of dropout, the control.
    """

    dropout: float
    bits: int
    layers: tuple[int, ...]
    uncorrected: tuple[float, ...]
    corrected: tuple[float, ...]
    uncorrected_exact: tuple[float, ...]
    error_channel: tuple[float, ...]


@result
class Cascade(Result):
    """What survives, layer by layer, beside the laws of `eval.measures.information.capacity`.

    surviving: uncoded, the share of symbols that were never erased; failed: re-encoded, the share of messages lost;
    each with its law and the law's standard error. wrong: decoded words that differ from what was sent; must be 0.
    *_deviation: largest |simulated - law| in standard errors of the law.
    """

    layers: tuple[int, ...]
    surviving: tuple[float, ...]
    surviving_law: tuple[float, ...]
    surviving_error: tuple[float, ...]
    failed: tuple[float, ...]
    failed_law: tuple[float, ...]
    failed_error: tuple[float, ...]
    wrong: int
    width: int
    message: int
    dropout: float
    trials: int
    surviving_deviation: float
    failed_deviation: float


@result
class FiniteWidth(Result):
    """Message symbols per neuron that a re-encoding layer carries at a failure rate of .01, by width.

    uncoded: the same without a code, where every symbol must survive: the control.
    """

    widths: tuple[int, ...]
    normal: tuple[float, ...]
    exact: tuple[float, ...]
    uncoded: tuple[float, ...]
    dropout: float


@result
class PowerLawLoss(Result):
    """Bits that a code with standard deviations i^alpha, alpha = -1, loses to a white one [MK Theorem 4], by width."""

    width: int = noted(key="m")
    standard_deviations: float = noted(key="exact, standard deviations")
    eigenvalues: float = noted(key="exact, eigenvalues")
    printed: float
    ratio: float = noted(key="printed/exact")


@result
class CapacityResult(Measurement):
    """Coding theory, computed, simulated and compared with what is printed."""

    table = "dropout_capacities"

    compression_rates: tuple[CompressionRate, ...]
    dropout_capacities: tuple[NeuronCapacity, ...]
    depth: tuple[DepthCurve, ...]
    cascade: Cascade
    widths: FiniteWidth
    power_law: tuple[PowerLawLoss, ...]


CapacityResults = ExperimentResults[CapacityResult]
"""`results.json` of `python -m toy capacity`."""
