"""Which interval does alpha_corrected get on real text? One that holds over documents, and over what the correction is.

Two things are uncertain. Which documents were read: the half-sampled sd of `document_groups` says how much the exponent
moves with them (topics, styles and lengths included), and the larger of it and the simulated sd counts. And the
correction, which is a model (Gaussian tokens, documents alike in kind): on real text alpha as measured drifts one way
with the amount of text and alpha_corrected the other, so that with enough tokens for either to be fair

    low, high = min(measured, corrected) - half, max(measured, corrected) + half

spans both and closes on the common limit as text is added. With fewer than `WARN_TOKENS_PER_WIDTH` tokens a dimension
alpha as measured is biased for certain, and the interval stands around the corrected one.
"""

from __future__ import annotations

from dataclasses import replace

from eval.measures.spectra.alpha_interval import WARN_TOKENS_PER_WIDTH, CorrectedExponent, corrected_exponent
from eval.measures.spectra.document_groups import DocumentSplits
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import INDEX_RANGE, power_law_exponent
from eval.measures.statistics.resampling import MINIMUM_GROUPS
from eval.scores import Score


def exponent_over_documents(
    moments: Moments, index_range: tuple[int, int] = INDEX_RANGE, *, confidence: float = 0.95, seed: int = 0
) -> CorrectedExponent:
    """Which alpha has the population spectrum, and how sure is that over other documents?

    Value and undefined cases are those of `corrected_exponent`, with one exception: where documents differ so much that
    its model counts them as too few, and there are enough tokens, the value is alpha as measured. Calibrated by split
    halves of two texts on two models (`docs/findings/spectra.md`).

    Returns:
        `Score` with ``n`` documents; ``diagnostics`` gain document_sd, document_drift (what doubling the documents
        changed), document_groups and parametric_low, parametric_high (the interval of the model alone), each `None`
        where it is undefined: too few documents or a fit range beyond the kept directions. The interval is then the
        model's.
    """
    corrected = corrected_exponent(moments, index_range, seed=seed, confidence=confidence)
    score = corrected.score
    parametric = {"parametric_low": score.low, "parametric_high": score.high}
    splits = moments.groups.splits(index_range, seed=seed) if moments.n_documents >= MINIMUM_GROUPS else None
    if splits is None:
        nothing = dict.fromkeys(("document_sd", "document_drift", "document_groups"))
        return replace(corrected, diagnostics=corrected.diagnostics | nothing | parametric)
    found = {"document_sd": splits.sd, "document_drift": splits.drift, "document_groups": splits.n_groups}
    diagnostics = corrected.diagnostics | found | parametric
    enough = moments.n_tokens >= WARN_TOKENS_PER_WIDTH * moments.width
    if not score.is_defined and not (enough and _counts_as_few(corrected)):
        return CorrectedExponent(score, diagnostics)
    measured = float(power_law_exponent(moments.eigenvalues(), index_range)) if enough else None
    if not score.is_defined:
        score = Score(measured, measured, measured, moments.n_documents)
    return CorrectedExponent(_over_documents(score, measured, splits, confidence), diagnostics, splits)


def _counts_as_few(corrected: CorrectedExponent) -> bool:
    """Whether the model's documents are too few only because they differ."""
    counted = corrected.diagnostics["effective_documents"]
    return isinstance(counted, float) and counted < MINIMUM_GROUPS / 2


def _over_documents(score: Score, measured: float | None, splits: DocumentSplits, confidence: float) -> Score:
    assert score.value is not None and score.low is not None and score.high is not None
    half = max((score.high - score.low) / 2, splits.half_width(confidence))
    ends = [score.value] if measured is None else [score.value, measured]
    return replace(score, low=min(ends) - half, high=max(ends) + half)
