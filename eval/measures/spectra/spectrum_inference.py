"""Which broken power law would have been measured as this spectrum? Linearised indirect inference.

The population is log lambda_i = level + slope log i + kinks, a continuous broken power law in log index whose kinks
(in the first directions, at each end of the fit range, in the tail) are pulled weakly towards zero. The data enter
through a few summaries of the log sample eigenvalues: the fitted exponent and means over bands of indices. With
summaries T, their simulated mean T(theta), covariance Sigma and derivative J, each step solves

    min_d (T - T(theta) - J d)^T Sigma^-1 (T - T(theta) - J d) + |kinks + d|^2 / KINK_SD^2

A real spectrum is no broken power law: with many tokens Sigma is tiny and the model cannot meet every summary. What it
then leaves of the *exponent's* gap is added to the slope, so that the model only supplies the bias, and a spectrum that
needs no correction gets none. Where the model fits, that gap is noise: with chi^2 the misfit of n summaries,

    slope <- slope + chi^2 / (chi^2 + n) (T - T(theta) - J d)_exponent / J_exponent,slope

Axis glossary: ``index`` eigenvalues in falling order, ``parameter`` (level, slope, kinks), ``summary``, ``draw``.

Source: Gourieroux, Monfort & Renault 1993 (indirect inference); Zhou & Marchetti's ridge is the Gaussian prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eval.measures.spectra.clustered_wishart import simulate_eigenvalues
from eval.measures.spectra.power_law import power_law_exponent
from eval.measures.threads import one_blas_thread

KINK_SD = 0.3
"""Prior standard deviation of a change of slope: a kink of .3 is unsurprising, the data decide where they can."""
START_ROUNDS = 2
START_DRAWS = 6
SLOPE_DRAWS = 8
FINAL_DRAWS = 48
STEP = 0.05
RELIABLE = 0.75
"""Share of the measurable eigenvalues that are summarised; the smallest ones are mostly noise."""
RELIABLE_TRUNCATED = 0.55
"""The same where only the leading directions are simulated, and the last of those feel the cut."""


@dataclass(frozen=True)
class InferredSpectrum:
    """slope: of the population over the fit range. sd: of the slope, sampling and Monte Carlo error together.

    sensitivity: d (sample exponent) / d (population slope): 1 with endless data, near 0 where the sample tells nothing.
    log_spectrum: the population's log eigenvalues. kink_sds: how far each kink moved from zero, in prior sd.
    """

    slope: float
    sd: float
    sensitivity: float
    log_spectrum: Float[np.ndarray, " index"]
    kinks: Float[np.ndarray, " kink"]


@dataclass(frozen=True)
class Experiment:
    """Documents, shared variance and fit range: everything of the data set except its spectrum.

    trace: total variance, given where only the leading directions are simulated (``simulate`` then adds what the
        others lend to them); None where all are.
    """

    lengths: Float[np.ndarray, " document"]
    shared: Float[np.ndarray, " index"]
    index_range: tuple[int, int]
    seed: int
    trace: float | None = None

    @property
    def reliable(self) -> int:
        """Number of leading eigenvalues that are summarised."""
        width = len(self.shared)
        share = RELIABLE if self.trace is None else RELIABLE_TRUNCATED
        return max(self.index_range[1], int(share * min(width, self.lengths.sum() - 1)))

    def design(self) -> Float[np.ndarray, "index parameter"]:
        """Columns: level, slope, then one hinge per kink."""
        first, last = self.index_range
        x = np.log(np.arange(1, len(self.shared) + 1))
        inner = [k for k in (first // 3, first) if k > 1]
        outer = [k for k in (last, int(2.5 * last)) if 1.2 * k < self.reliable]
        hinges = [np.maximum(np.log(k) - x, 0) for k in inner] + [np.maximum(x - np.log(k), 0) for k in outer]
        return np.column_stack([np.ones_like(x), x, *hinges])

    def summarise(self, log_eigenvalues: Float[np.ndarray, "draw index"]) -> Float[np.ndarray, "draw summary"]:
        """Exponent over the fit range, and mean log eigenvalue over bands of indices."""
        first, last = self.index_range
        edges = [0, 1, max(first // 3, 2), first - 1, last]
        while edges[-1] * 1.5 < self.reliable:
            edges.append(int(edges[-1] * 1.5))
        edges = sorted({e for e in edges if e < self.reliable} | {self.reliable})
        bands = [log_eigenvalues[:, a:b].mean(1) for a, b in zip(edges, edges[1:], strict=False)]
        return np.column_stack([power_law_exponent(np.exp(log_eigenvalues), self.index_range), *bands])

    def simulate(self, log_spectrum: np.ndarray, n_draws: int, stream: int) -> Float[np.ndarray, "draw index"]:
        """Log eigenvalues of simulated data; the same stream is the same noise."""
        spectrum = np.exp(log_spectrum - log_spectrum.max())
        draws = simulate_eigenvalues(spectrum, self.shared, self.lengths, n_draws, 1000 * self.seed + stream)
        if self.trace is not None:
            draws = draws + self._lift(spectrum, max(self.trace * np.exp(-log_spectrum.max()) - spectrum.sum(), 0.0))
        return np.log(np.maximum(draws, 1e-14)) + log_spectrum.max()

    def _lift(self, spectrum: np.ndarray, tail: float) -> np.ndarray:
        """What directions of total variance ``tail`` add to each leading sample eigenvalue.

        Their token-by-token products average to [own I + common (blocks of ones)] / N; a leading direction with shared
        share rho lies in the span of the document means with share rho + (1 - rho) / n.
        """
        n_tokens = self.lengths.sum()
        length = (self.lengths**2).sum() / n_tokens
        common = self.shared[-1]
        in_blocks = self.shared + (1 - self.shared) / length
        return tail * ((1 - common) + common * length * in_blocks) / n_tokens


@one_blas_thread
def infer_spectrum(log_eigenvalues: Float[np.ndarray, " index"], experiment: Experiment) -> InferredSpectrum:
    """The population slope behind a measured log spectrum, with its standard deviation. See the module."""
    design = experiment.design()
    measured = experiment.summarise(log_eigenvalues[None])[0]
    theta = _start(log_eigenvalues, design, experiment)
    draws = experiment.summarise(experiment.simulate(design @ theta, FINAL_DRAWS // 2, 50))
    jacobian = _jacobian(theta, design, experiment, draws[:SLOPE_DRAWS], 50)
    theta = theta + _step(theta, measured - draws.mean(0), _covariance(draws), jacobian)[0]
    draws = experiment.summarise(experiment.simulate(design @ theta, FINAL_DRAWS, 60))
    gap = measured - draws.mean(0)
    noise = _covariance(draws)
    step, covariance = _step(theta, gap, noise, jacobian)
    theta = theta + step
    left = gap - jacobian @ step
    misfit = float(left @ np.linalg.solve(noise, left))
    slope = theta[1] + misfit / (misfit + len(left)) * left[0] / jacobian[0, 1]
    alone = draws[:, 0].var(ddof=1) * (1 + 1 / len(draws)) / jacobian[0, 1] ** 2
    sd = float(np.sqrt(max(covariance[1, 1], alone)))
    return InferredSpectrum(float(slope), sd, float(jacobian[0, 1]), design @ theta, theta[2:])


def _start(log_eigenvalues: np.ndarray, design: np.ndarray, experiment: Experiment) -> np.ndarray:
    """A few plain fixed-point rounds: move theta by the least-squares fit of (measured - simulated)."""
    kept = slice(0, experiment.reliable)
    fit = np.linalg.pinv(design[kept])
    theta = fit @ log_eigenvalues[kept]
    for stream in range(START_ROUNDS):
        simulated = experiment.simulate(design @ theta, START_DRAWS, stream).mean(0)
        theta = theta + fit @ (log_eigenvalues - simulated)[kept]
    return theta


def _jacobian(
    theta: np.ndarray, design: np.ndarray, experiment: Experiment, base: np.ndarray, stream: int
) -> Float[np.ndarray, "summary parameter"]:
    """d summary / d theta with common random numbers. A change of level moves every band by as much, exactly."""
    columns = [np.r_[0.0, np.ones(base.shape[1] - 1)]]
    for parameter in range(1, design.shape[1]):
        moved = design @ theta + STEP * design[:, parameter]
        draws = experiment.summarise(experiment.simulate(moved, len(base), stream))
        columns.append((draws - base).mean(0) / STEP)
    return np.column_stack(columns)


def _covariance(draws: np.ndarray) -> np.ndarray:
    """Covariance of one data set's summaries plus that of the simulated mean, lightly shrunk to its diagonal."""
    covariance = np.cov(draws.T) * (1 + 1 / len(draws))
    return 0.9 * covariance + 0.1 * np.diag(np.diag(covariance)) + 1e-12 * np.eye(len(covariance))


def _step(
    theta: np.ndarray, gap: np.ndarray, covariance: np.ndarray, jacobian: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The penalised least-squares step, and the covariance of theta after it."""
    prior = np.diag(np.r_[0.0, 0.0, np.full(len(theta) - 2, KINK_SD**-2)])
    weighted = np.linalg.solve(covariance, jacobian)
    precision = jacobian.T @ weighted + prior
    return np.linalg.solve(precision, weighted.T @ gap - prior @ theta), np.linalg.inv(precision)
